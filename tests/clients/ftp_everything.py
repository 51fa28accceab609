"""What ftplib can do: HOST PORT plain|upgraded|implicit CA active|passive"""

import ftplib
import io
import ssl
import sys
import zlib

host, port, security, ca, way = sys.argv[1:]


class Implicit(ftplib.FTP_TLS):
    """ftplib knows TLS from the first octet only with a little help."""

    @property
    def sock(self):
        return self._sock

    @sock.setter
    def sock(self, value):
        if value is not None and not isinstance(value, ssl.SSLSocket):
            value = self.context.wrap_socket(value, server_hostname="localhost")
        self._sock = value


context = ssl.create_default_context(cafile=ca)
context.check_hostname = False
match security:
    case "plain":
        ftp = ftplib.FTP(timeout=20)
    case "upgraded":
        ftp = ftplib.FTP_TLS(context=context, timeout=20)
    case "implicit":
        ftp = Implicit(context=context, timeout=20)
ftp.connect(host, int(port))
ftp.login("alice", "wonderland")
if security != "plain":
    ftp.prot_p()
ftp.set_pasv(way == "passive")

octets = bytes(range(256)) * 4000
ftp.mkd("lib")
ftp.cwd("lib")
assert ftp.storbinary("STOR a.bin", io.BytesIO(octets)).startswith("226")
assert ftp.size("a.bin") == len(octets)
got = bytearray()
ftp.retrbinary("RETR a.bin", got.extend)
assert got == octets
got = bytearray()
ftp.retrbinary("RETR a.bin", got.extend, rest=1_000_000)
assert got == octets[1_000_000:]
assert ftp.storbinary("APPE a.bin", io.BytesIO(b"more")).startswith("226")
assert ftp.storbinary("STOR a.bin", io.BytesIO(b"less"), rest=10).startswith("226")
got = bytearray()
ftp.retrbinary("RETR a.bin", got.extend)
assert got == octets[:10] + b"less"
assert ftp.storlines("STOR b.txt", io.BytesIO(b"one\ntwo\n")).startswith("226")
lines = []
ftp.retrlines("RETR b.txt", lines.append)
assert lines == ["one", "two"]

# An upload that breaks off and goes on.
conn = ftp.transfercmd("STOR c.bin")
conn.sendall(octets[:500_000])
ftp.putcmd("NOOP")

ftp.putcmd("ABOR")
replies = [ftp.getmultiline()[:3] for _ in range(3)]
assert replies == ["426", "226", "200"], replies
conn.close()
ftp.voidcmd("TYPE I")
kept = ftp.size("c.bin")
assert 0 <= kept <= 500_000
assert ftp.storbinary("STOR c.bin", io.BytesIO(octets[kept:]), rest=kept or None).startswith("226")
got = bytearray()
ftp.retrbinary("RETR c.bin", got.extend)
assert got == octets

# MODE Z with text inside.
ftp.voidcmd("MODE Z")
ftp.voidcmd("TYPE A")
with ftp.transfercmd("STOR z.txt") as conn:
    conn.sendall(zlib.compress(b"one\r\ntwo\r\n" * 5000))
    if isinstance(conn, ssl.SSLSocket):
        conn.unwrap()
assert ftp.voidresp().startswith("226")
packed = bytearray()
with ftp.transfercmd("RETR z.txt") as conn:
    while piece := conn.recv(65536):
        packed += piece
    if isinstance(conn, ssl.SSLSocket):
        conn.unwrap()
assert ftp.voidresp().startswith("226")
assert zlib.decompress(packed) == b"one\r\ntwo\r\n" * 5000
ftp.voidcmd("MODE S")
ftp.voidcmd("TYPE I")
assert ftp.size("z.txt") == 40_000

assert sorted(name for name, facts in ftp.mlsd() if facts["type"] == "file") == ["a.bin", "b.txt", "c.bin", "z.txt"]
ftp.rename("b.txt", "d.txt")
for name in ftp.nlst():
    ftp.delete(name)
ftp.cwd("/")
ftp.rmd("lib")
print(ftp.quit())
