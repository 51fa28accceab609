"""Fetches the one message of a maildrop, takes the picture out, deletes the message:
HOST PORT plain|upgraded|implicit CA USER PASSWORD PICTURE"""

import email
import email.policy
import poplib
import ssl
import sys

host, port, security, ca, user, password, picture = sys.argv[1:]


def log_in():
    context = ssl.create_default_context(cafile=ca)
    if security == "implicit":
        pop = poplib.POP3_SSL(host, int(port), timeout=20, context=context)
    else:
        pop = poplib.POP3(host, int(port), timeout=20)
    if security == "upgraded":
        assert "STLS" in pop.capa()
        pop.stls(context=context)
        assert "STLS" not in pop.capa()
    assert pop.user(user).startswith(b"+OK")
    assert b"logged on" in pop.pass_(password)
    return pop


pop = log_in()
count, octets = pop.stat()
assert count == 1, f"{count} messages"
reply, lines, received = pop.retr(1)
assert reply == b"+OK %d octets" % octets, reply
assert sum(len(line) + 2 for line in lines) == octets, "the octet count is wrong"
message = email.message_from_bytes(b"\n".join(lines) + b"\n", policy=email.policy.default)
assert message.get_content_type() == "multipart/mixed"
body, attached = message.iter_parts()
assert body.get_content() == "Hei!\n\nHere it is.\n.\n.. and a line with dots.\n", body.get_content()
assert attached.get_content_type() == "image/jpeg"
with open(picture, "wb") as file:
    file.write(attached.get_content())
for field in message.get_all("Received"):
    print("Received:", " ".join(field.split()))
print("Return-Path:", message["Return-Path"])
uid = pop.uidl(1)
pop.quit()

pop = log_in()
assert pop.uidl(1) == uid, "the unique id has changed"
pop.dele(1)
assert b"signing off" in pop.quit()

pop = log_in()
assert pop.stat() == (0, 0), "the message is still there"
pop.quit()
