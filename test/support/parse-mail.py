"""Read a message with Python's email package and tell what it saw.

In:  {"message": base64}
Out: {"headers": [[name, value], ...], "type": ..., "params": {...}, "defects": [...], "parts": [the same, ...], "content": ...}
"""

import base64
import json
import sys
from email import policy
from email.parser import BytesParser


def describe(part):
    multipart = part.is_multipart()
    content = None
    if not multipart:
        content = part.get_payload(decode=True).decode("utf-8", "backslashreplace")
    return {
        "headers": [[name, str(value)] for name, value in part.items()],
        "type": part.get_content_type(),
        "params": dict(part.get_params(header="content-type") or []),
        "defects": [type(defect).__name__ for defect in part.defects],
        "parts": [describe(inner) for inner in part.get_payload()] if multipart else [],
        "content": content,
    }


def main():
    request = json.load(sys.stdin)
    message = BytesParser(policy=policy.compat32).parsebytes(base64.b64decode(request["message"]))
    json.dump(describe(message), sys.stdout)


main()
