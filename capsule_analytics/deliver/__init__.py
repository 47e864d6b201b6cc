"""Sending a report that is whole: what is said, by mail (SMTP) and to Slack (incoming webhook).

Nothing here makes a figure or a file; a sending that fails leaves the report as it is.
"""

from __future__ import annotations

from ._mail import MailServer, Security, check_address, send_mail
from ._message import Message, Picture, Table, message_of
from ._slack import Webhook, send_slack

__all__ = [
    "MailServer",
    "Message",
    "Picture",
    "Security",
    "Table",
    "Webhook",
    "check_address",
    "message_of",
    "send_mail",
    "send_slack",
]

__dir__ = __all__.copy  # what completion offers
