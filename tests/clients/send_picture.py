"""Submits a multipart/mixed message with a picture:
HOST PORT plain|upgraded|implicit CA USER PASSWORD FROM TO PICTURE"""

import smtplib
import ssl
import sys
from email.message import EmailMessage

host, port, security, ca, user, password, sender, recipient, picture = sys.argv[1:]
message = EmailMessage()
message["From"] = sender
message["To"] = recipient
message["Subject"] = "The porch, as promised"
message.set_content("Hei!\n\nHere it is.\n.\n.. and a line with dots.\n")
message.add_attachment(open(picture, "rb").read(), maintype="image", subtype="jpeg", filename="porch.jpg")
assert message.get_content_type() == "multipart/mixed"

context = ssl.create_default_context(cafile=ca)
if security == "implicit":
    smtp = smtplib.SMTP_SSL(host, int(port), timeout=20, context=context)
else:
    smtp = smtplib.SMTP(host, int(port), timeout=20)
if security == "upgraded":
    smtp.starttls(context=context)
smtp.login(user, password)
refused = smtp.send_message(message)
assert refused == {}, refused
print(smtp.quit())
