"""Fetches and deletes every message of a maildrop, and checks what the server announced.

usage: drain_maildrop.py HOST PORT USER PASSWORD
"""

import poplib
import sys

host, port, user, password = sys.argv[1:]
pop3 = poplib.POP3(host, int(port), timeout=60)
pop3.user(user)
pop3.pass_(password)
count, octets = pop3.stat()
sizes = dict(line.decode().split() for line in pop3.list()[1])
ids = dict(line.decode().split() for line in pop3.uidl()[1])
assert len(sizes) == len(ids) == len(set(ids.values())) == count
assert sum(map(int, sizes.values())) == octets
for number, size in sizes.items():
    _, lines, _ = pop3.retr(number)
    received = sum(len(line) + len("\r\n") for line in lines)
    assert received == int(size), f"message {number}: {received} octets, {size} announced"
    pop3.dele(number)
assert pop3.stat() == (0, 0)
pop3.quit()
print(count, "messages")
