"""Sends files as messages, octet for octet, with CR LF line ends, and prints the last reply to each:
HOST PORT SENDER RECIPIENTS(,) FILE..."""

import smtplib
import sys

host, port, sender, recipients, *files = sys.argv[1:]
smtp = smtplib.SMTP(host, int(port), timeout=60)
smtp.ehlo("lab")
for file in files:
    message = open(file, "rb").read().replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
    smtp.mail(sender, ["BODY=8BITMIME"])
    for recipient in recipients.split(","):
        code, reply = smtp.rcpt(recipient)
        assert code == 250, reply
    code, reply = smtp.data(message)
    print(code, reply.decode().splitlines()[0])
smtp.quit()
