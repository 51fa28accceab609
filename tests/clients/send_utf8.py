"""Sends a message whose addresses and header are beyond ASCII, with SMTPUTF8; one without it is refused."""

import smtplib
import sys
from email.message import EmailMessage
from email.policy import SMTPUTF8

message = EmailMessage(policy=SMTPUTF8)
message["From"] = "Pelé <pelé@exempla.test>"
message["To"] = "blåbær@portico.test"
message["Subject"] = "Blåbær på verandaen?"
message.set_content("Kom, og ta med pannekaker.\n")

with smtplib.SMTP("127.0.0.1", int(sys.argv[1]), timeout=20) as smtp:
    smtp.ehlo()
    assert smtp.has_extn("smtputf8") and smtp.has_extn("8bitmime")
    assert smtp.docmd("MAIL", "FROM:<alice@exempla.test>")[0] == 250
    code, text = smtp.docmd("RCPT", "TO:<\u0062l\u0061ab\u0061r@portico.test>")
    assert code == 550, (code, text)
    smtp.rset()
    smtp.send_message(message)
print("sent")
