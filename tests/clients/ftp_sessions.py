"""Who must resume the TLS session of its control connection, and who else tries: HOST PORT CA VERSION"""

import ftplib
import io
import ssl
import sys

host, port, ca, version = sys.argv[1:]


class Resuming(ftplib.FTP_TLS):
    """Takes the session of the control connection, or another, for its data connections."""

    session = None

    def ntransfercmd(self, command, rest=None):
        conn, size = ftplib.FTP.ntransfercmd(self, command, rest)
        session = self.session(self) if self.session else None
        return self.context.wrap_socket(conn, server_hostname=self.host, session=session), size


def log_in(session):
    context = ssl.create_default_context(cafile=ca)
    context.check_hostname = False
    context.minimum_version = context.maximum_version = ssl.TLSVersion[version]
    return again(context, session)


def again(context, session):
    ftp = Resuming(context=context, timeout=20)
    ftp.session = session
    ftp.connect(host, int(port))
    ftp.login("alice", "wonderland")
    ftp.prot_p()
    return ftp


def is_refused(ftp, content):
    try:
        ftp.storbinary("STOR refused.txt", io.BytesIO(content))
    except (ftplib.error_temp, OSError) as error:
        return "425" in str(error) or ftp.getmultiline()[:3] == "425"
    return False


own = log_in(lambda ftp: ftp.sock.session)
for number in range(12):
    assert own.storbinary("STOR a.txt", io.BytesIO(b"%d" % number)).startswith("226"), number
    got = bytearray()
    own.retrbinary("RETR a.txt", got.extend)
    assert got == b"%d" % number
assert is_refused(log_in(None), b"no session")
for number in range(12):
    assert own.storbinary("STOR b.txt", io.BytesIO(b"%d" % number)).startswith("226"), number
newest = log_in(lambda ftp: ftp.newest)
newest.newest = newest.sock.session
for number in range(12):
    conn = newest.transfercmd("RETR a.txt")
    while conn.recv(1000):
        pass
    # A session of a download is as good as that of the control connection.
    newest.newest = conn.session
    conn.unwrap().close()
    newest.voidresp()
    assert newest.storbinary("STOR c.txt", io.BytesIO(b"x")).startswith("226"), number
stolen = own.sock.session
assert is_refused(again(own.context, lambda ftp: stolen), b"the session of another connection")
assert "refused.txt" not in own.nlst()
print(own.quit())
