"""Submits a text with an attachment:
HOST PORT plain|upgraded CA USER PASSWORD FROM TO SUBJECT TEXT ATTACHMENT"""

import mimetypes
import os
import smtplib
import ssl
import sys
from email.message import EmailMessage

host, port, security, ca, user, password, sender, recipient, subject, text, attachment = sys.argv[1:]
message = EmailMessage()
message["From"] = sender
message["To"] = recipient
message["Subject"] = subject
message.set_content(open(text, encoding="utf-8").read())
kind = mimetypes.guess_type(attachment)[0] or "application/octet-stream"
main, sub = kind.split("/")
message.add_attachment(open(attachment, "rb").read(), maintype=main, subtype=sub, filename=os.path.basename(attachment))

smtp = smtplib.SMTP(host, int(port), timeout=20)
if security == "upgraded":
    smtp.starttls(context=ssl.create_default_context(cafile=ca))
if user:
    smtp.login(user, password)
refused = smtp.send_message(message)
assert refused == {}, refused
smtp.quit()
