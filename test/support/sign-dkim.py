"""Sign a message with dkimpy, as a client of ours may have done before it hands the message in.

In:  {"message": base64, "domain": "...", "selector": "...", "key": PEM (PKCS #1), "canonical": ["simple", "relaxed"]}
Out: the message with its signature on top, base64.
"""

import base64
import json
import sys

import dkim


def main():
    request = json.load(sys.stdin)
    message = base64.b64decode(request["message"])
    signature = dkim.sign(
        message,
        request["selector"].encode(),
        request["domain"].encode(),
        request["key"].encode(),
        canonicalize=tuple(name.encode() for name in request["canonical"]),
    )
    json.dump(base64.b64encode(signature + message).decode(), sys.stdout)


main()
