"""A data connection is of the same family as its control connection: V4_PORT V6_PORT"""

import ftplib
import socket
import sys

for host, other, port in (("127.0.0.1", "::1", sys.argv[1]), ("::1", "127.0.0.1", sys.argv[2])):
    ftp = ftplib.FTP(timeout=30)
    ftp.connect(host, int(port))
    ftp.login("ftp", "x")
    ftp.voidcmd("TYPE I")
    at = ftplib.parse229(ftp.sendcmd("EPSV"), ftp.sock.getpeername())[1]
    try:
        socket.create_connection((other, at), timeout=5)
        raise AssertionError("nobody listens there")
    except ConnectionRefusedError:
        pass
    for wrong in (f"EPRT |{2 if ':' in other else 1}|{other}|5000|", "EPSV 2" if ":" in other else "EPSV 1"):
        try:
            ftp.sendcmd(wrong)
            raise AssertionError(wrong)
        except ftplib.error_perm as error:
            assert str(error)[:3] in ("504", "522"), error
    ftp.putcmd("RETR hello.txt")
    assert ftp.getline()[:3] == "150"
    mine = socket.create_connection((host, at), timeout=20)
    assert mine.recv(1000)
    assert ftp.getline()[:3] == "226"
    if ":" in host:
        try:
            ftp.sendcmd("PASV")
            raise AssertionError("PASV can't tell an IPv6 address")
        except ftplib.error_perm:
            pass
    ftp.quit()
print("fine")
