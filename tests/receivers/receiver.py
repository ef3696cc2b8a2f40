"""A receiver that verifies what it gets with the published library of Standard Webhooks.

Every secret of VERIFY_WITH has to verify by itself: else the answer is 400. The first line that it prints is its port.
"""

import os
from http.server import BaseHTTPRequestHandler, HTTPServer

from standardwebhooks import Webhook

SECRETS = os.environ["VERIFY_WITH"].split(" ")


class Receiver(BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        status, words = 204, b""
        try:
            for secret in SECRETS:
                Webhook(secret).verify(body, dict(self.headers))
        except Exception as error:
            status, words = 400, str(error).encode()
        self.send_response(status)
        if status != 204:
            self.send_header("content-length", str(len(words)))
        self.end_headers()
        self.wfile.write(words)

    def log_message(self, *_):
        pass


server = HTTPServer(("127.0.0.1", 0), Receiver)
print(server.server_port, flush=True)
server.serve_forever()
