"""Strangers at a passive port, from another address of this machine: HOST PORT"""

import ftplib
import io
import socket
import sys
import threading

host, port = sys.argv[1], int(sys.argv[2])
STRANGER = "127.0.0.2"
CONTENT = b"of the client alone " * 5000


def stranger(at, say=b""):
    conn = socket.socket()
    conn.bind((STRANGER, 0))
    conn.settimeout(20)
    conn.connect(at)
    if say:
        conn.sendall(say)
    return conn


def is_turned_away(conn):
    try:
        return conn.recv(100) == b""
    except ConnectionResetError:
        return True


def session():
    ftp = ftplib.FTP(timeout=30)
    ftp.connect(host, port)
    ftp.login("alice", "wonderland")
    ftp.voidcmd("TYPE I")
    return ftp


def passive(ftp):
    return ftp.host, ftplib.parse229(ftp.sendcmd("EPSV"), ftp.sock.getpeername())[1]


ftp = session()
# A crowd that was there before the client.
for command, content in (("STOR crowd.txt", CONTENT), ("RETR crowd.txt", None)):
    at = passive(ftp)
    crowd = [stranger(at, b"planted") for _ in range(200)]
    ftp.putcmd(command)
    assert ftp.getline()[:3] in ("125", "150")
    mine = socket.create_connection(at, timeout=20)
    if content:
        mine.sendall(content)
    else:
        got = b"".join(iter(lambda: mine.recv(65536), b""))
        assert got == CONTENT, len(got)
    mine.close()
    assert ftp.getline()[:3] == "226"
    assert all(is_turned_away(one) for one in crowd)

# A crowd that keeps on coming.
over = threading.Event()
for number in range(20):
    at = passive(ftp)
    over.clear()

    def keep_coming(at=at):
        while not over.is_set():
            try:
                stranger(at, b"planted").close()
            except OSError:
                pass

    thread = threading.Thread(target=keep_coming)
    thread.start()
    ftp.putcmd("STOR storm.txt")
    assert ftp.getline()[:3] in ("125", "150")
    mine = socket.create_connection(at, timeout=20)
    mine.sendall(b"%d" % number)
    mine.close()
    reply = ftp.getline()
    over.set()
    thread.join()
    assert reply[:3] == "226", reply
    got = io.BytesIO()
    ftp.retrbinary("RETR storm.txt", got.write)
    assert got.getvalue() == b"%d" % number, (number, got.getvalue())

# The port is the client's alone also for ABOR and for the next command.
at = passive(ftp)
waiting = stranger(at)
ftp.voidcmd("ABOR")
assert is_turned_away(waiting)
print(ftp.quit())
