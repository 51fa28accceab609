"""Puts a file by FTP: HOST PORT plain|upgraded CA USER PASSWORD FILE NAME"""

import ftplib
import ssl
import sys

host, port, security, ca, user, password, file, name = sys.argv[1:]
if security == "upgraded":
    ftp = ftplib.FTP_TLS(context=ssl.create_default_context(cafile=ca), timeout=20)
else:
    ftp = ftplib.FTP(timeout=20)
ftp.connect(host, int(port))
ftp.login(user, password)
if security == "upgraded":
    ftp.prot_p()
with open(file, "rb") as content:
    reply = ftp.storbinary(f"STOR {name}", content)
assert reply.startswith("226"), reply
back = bytearray()
ftp.retrbinary(f"RETR {name}", back.extend)
assert bytes(back) == open(file, "rb").read(), "the file came back changed"
assert name.rsplit("/", 1)[-1] in [entry for entry, _ in ftp.mlsd()], "the file is not listed"
print(ftp.quit())
