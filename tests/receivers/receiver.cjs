// A receiver that verifies what it gets with the published library of Standard Webhooks, and ed25519 with Node's own
// cryptography, as the library knows HMAC only. Every secret of VERIFY_WITH has to verify by itself: else the answer is 400.
// The first line that it prints is its port.
const { createPublicKey, verify } = require("node:crypto");
const { createServer } = require("node:http");
const { Webhook } = require("standardwebhooks");

function verifyByPublicKey(key, body, headers) {
  const x = Buffer.from(key.slice("whpk_".length), "base64").toString("base64url");
  const publicKey = createPublicKey({ key: { kty: "OKP", crv: "Ed25519", x }, format: "jwk" });
  const signed = Buffer.concat([Buffer.from(`${headers["webhook-id"]}.${headers["webhook-timestamp"]}.`), body]);
  const signatures = (headers["webhook-signature"] ?? "").split(" ").filter((one) => one.startsWith("v1a,"));
  if (!signatures.some((one) => verify(null, signed, publicKey, Buffer.from(one.slice("v1a,".length), "base64")))) {
    throw new Error("No matching signature found");
  }
}

function verifyBy(secret, body, headers) {
  if (secret.startsWith("whpk_")) {
    verifyByPublicKey(secret, body, headers);
  } else {
    new Webhook(secret).verify(body, headers);
  }
}

const secrets = process.env.VERIFY_WITH.split(" ");
const server = createServer(async (request, response) => {
  const parts = [];
  for await (const part of request) parts.push(part);
  try {
    for (const secret of secrets) verifyBy(secret, Buffer.concat(parts), request.headers);
    response.writeHead(204).end();
  } catch (error) {
    response.writeHead(400).end(error.message);
  }
});
server.listen(0, "127.0.0.1", () => console.log(server.address().port));
