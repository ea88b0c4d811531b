"""The page of an invitation's URL, for who opens it in a browser. It echoes nothing."""

from __future__ import annotations

import base64
import hashlib
from typing import Final

_STYLE: Final = (
    "body{font:1rem/1.5 system-ui,sans-serif;max-width:42rem;margin:4rem auto;padding:0 1rem}"
    "pre{padding:1rem;overflow-x:auto;border:1px solid}"
)

ENROLL_PAGE: Final = f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>Mosaic Federation: an invitation</title>
<style>{_STYLE}</style>
</head>
<body>
<h1>This is an invitation to enroll</h1>
<p>It is meant for a gateway, not for a browser. On the machine of your gateway, type:</p>
<pre>mosaic federation peer add '&lt;the whole invitation&gt;'</pre>
<p>The whole invitation is the address that you opened, from <code>https://</code> to its very end,
with the part after <code>#</code>, in single quotes.</p>
<p>That part holds a token that works once. Your browser does not send it, so nobody here has seen
it, and opening this page has not used it. Keep it to yourself.</p>
</body>
</html>
"""

_STYLE_HASH: Final = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()

PAGE_HEADERS: Final = {
    "Content-Security-Policy": (
        f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; base-uri 'none';"
        " form-action 'none'; frame-ancestors 'none'"
    ),
    "Referrer-Policy": "no-referrer",
}
