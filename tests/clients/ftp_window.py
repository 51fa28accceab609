"""The commands of a client with windows, as it sends them: HOST PORT CA"""

import socket
import ssl
import sys

host, port, ca = sys.argv[1:]
context = ssl.create_default_context(cafile=ca)
context.check_hostname = False
plain = socket.create_connection((host, int(port)), timeout=20)
reader = plain.makefile("rb")


def hear(code):
    line = first = reader.readline().decode()
    while line[3:4] == "-" or not line[:3] == first[:3]:
        line = reader.readline().decode()
    assert first[:3] == code, f"wanted {code}: {first}"
    return first


def say(line, code):
    control.sendall(line.encode() + b"\r\n")
    return hear(code)


def data(command, content=None, shown="125"):
    port = int(say("EPSV", "229").split("|")[3]) if ":" in host else None
    if port is None:
        numbers = say("PASV", "227").split("(")[1].split(")")[0].split(",")
        port = int(numbers[4]) * 256 + int(numbers[5])
    raw = socket.create_connection((host, port), timeout=20)
    control.sendall(command.encode() + b"\r\n")
    assert hear_any()[:3] in ("125", "150")
    # The session of the control connection again, as such clients do.
    conn = context.wrap_socket(raw, server_hostname="localhost", session=control.session)
    got = b""
    if content is not None:
        conn.sendall(content)
    else:
        while piece := conn.recv(65536):
            got += piece
    conn.unwrap()
    conn.close()
    hear("226")
    return got


def hear_any():
    return reader.readline().decode()


control = plain
hear("220")
say("AUTH TLS", "234")
control = context.wrap_socket(plain, server_hostname="localhost")
reader = control.makefile("rb")
for line, code in [
    ("USER alice", "331"),
    ("PASS wonderland", "230"),
    ("SYST", "215"),
    ("FEAT", "211"),
    ("OPTS UTF8 ON", "200"),
    ("OPTS MLST type;size;modify;perm;unix.mode;", "200"),
    ("PBSZ 0", "200"),
    ("PROT P", "200"),
    ("PWD", "257"),
    ("CWD /", "250"),
    ("TYPE I", "200"),
]:
    say(line, code)
assert b"type=" in data("MLSD")
data("STOR window ö.bin", b"0123456789")
say("MFMT 20200229120000 window ö.bin", "213")
assert "20200229120000" in say("MDTM window ö.bin", "213")
say("REST 4", "350")
assert data("RETR window ö.bin") == b"456789"
say("REST 10", "350")
data("STOR window ö.bin", b"abc")
assert data("RETR window ö.bin") == b"0123456789abc"
say("SIZE window ö.bin", "213")
say("RNFR window ö.bin", "350")
say("RNTO renamed.bin", "250")
say("DELE renamed.bin", "250")
say("NOOP", "200")
say("QUIT", "221")
print("fine")
