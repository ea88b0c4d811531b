// Enroll with a Mosaic Federation gateway, and renew the certificate, with Node's standard library.
//
//   node enroll.mjs enroll DIR  < invitation     obtain a certificate; run it again if its answer was lost
//   node enroll.mjs renew DIR                    replace it, once its `renewAfter` has passed
//
// DIR holds gateway.json (the API's URL and the pinned root) and credential.pem: the private key,
// the certificate and its intermediates in one file, which is renamed into place, so a reader never
// sees a key beside another key's certificate. next-key.pem exists while a request is under way.
// Exit status: 0 done, 75 try again later, 1 anything else.
import crypto from 'node:crypto';
import fs from 'node:fs';
import https from 'node:https';
import path from 'node:path';

const LIMIT = 1 << 18;

class Problem extends Error {
  constructor(answer) {
    let body = {};
    try { body = JSON.parse(answer.body); } catch { /* what is no problem document keeps its status */ }
    const later = answer.retryAfter ? `; try again in ${answer.retryAfter} s` : '';
    super(`the gateway answered ${answer.status} ${body.code ?? ''}: ${body.detail ?? ''}${later}`);
    this.code = body.code;
    this.retryable = Boolean(body.retryable || answer.retryAfter);
  }
}

function ask(url, { method = 'GET', headers = {}, body, ...tls }) {
  return new Promise((resolve, reject) => {
    const request = https.request(url, { method, headers, timeout: 90_000, ...tls }, (response) => {
      const parts = [];
      let size = 0;
      response.on('data', (part) => {
        size += part.length;
        if (size > LIMIT) request.destroy(new Error('the answer is too large'));
        else parts.push(part);
      });
      response.on('error', reject);
      response.on('end', () => resolve({
        status: response.statusCode,
        retryAfter: response.headers['retry-after'],
        body: Buffer.concat(parts).toString(),
      }));
    });
    request.on('timeout', () => request.destroy(new Error('the gateway did not answer within 90 s')));
    request.on('error', reject);
    request.end(body);
  });
}

async function send(gateway, method, call, header, body) {
  const headers = { 'Content-Type': 'application/json', ...header };
  const answer = await ask(gateway.api + call, { method, headers, body: JSON.stringify(body), ca: gateway.root });
  if (answer.status !== 200 && answer.status !== 201) throw new Problem(answer);
  return JSON.parse(answer.body);
}

// Spend the invitation's token. If an earlier run spent it and its answer was lost, the certificate
// is fetched by a proof of the key. A used token is never sent with another key: that looks like theft.
async function enroll(dir) {
  const invitation = fs.readFileSync(0, 'utf8').trim();
  const parts = /^(https:\/\/[^#]+)\/enroll#token=([^,]+),ca=sha256:([0-9a-f]{64})$/.exec(invitation);
  if (!parts) throw new Error('standard input is not an invitation (https://…/enroll#token=…,ca=sha256:…)');
  const [, api, token, pin] = parts;
  const gateway = { api, root: await fetchRoot(api, pin) };
  const authorization = { Authorization: `Bearer ${token}` };
  const refused = await send(gateway, 'GET', '/enroll', authorization).catch((error) => error);
  const spent = refused.code === 'token_spent' ? refused : undefined;
  if (spent && !fs.existsSync(path.join(dir, 'next-key.pem'))) throw spent;
  fs.mkdirSync(dir, { recursive: true, mode: 0o700 });
  const key = nextKey(dir);
  const csr = pem('CERTIFICATE REQUEST', certificateRequest(key));
  const call = '/certificates/pickup';
  const issued = spent
    ? await send(gateway, 'POST', call, { DPoP: proof(key, api + call) }, {}).catch((error) => {
      throw error.code === 'proof_invalid' ? spent : error;
    })
    : await send(gateway, 'POST', '/enroll', authorization, { csr });
  return store(dir, gateway, key, issued);
}

// Ask for a certificate of a new key. The proof is by the current key, over the new request.
async function renew(dir) {
  const gateway = JSON.parse(fs.readFileSync(path.join(dir, 'gateway.json'), 'utf8'));
  const current = readKey(path.join(dir, 'credential.pem'));
  let key = nextKey(dir);
  if (same(key, current)) { // an earlier run ended just before it removed the file
    fs.rmSync(path.join(dir, 'next-key.pem'));
    key = nextKey(dir);
  }
  const request = certificateRequest(key);
  const digest = crypto.createHash('sha256').update(request).digest('base64url');
  const call = '/certificates/renew';
  const header = { DPoP: proof(current, gateway.api + call, { 'csr#S256': digest }) };
  return store(dir, gateway, key, await send(gateway, 'POST', call, header, { csr: pem('CERTIFICATE REQUEST', request) }));
}

// Ask for the roots over a connection that is not verified, and keep only the pinned one.
async function fetchRoot(api, pin) {
  const answer = await ask(`${api}/ca/roots`, { rejectUnauthorized: false });
  for (const [text] of answer.body.matchAll(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----\n?/g)) {
    const { raw } = new crypto.X509Certificate(text);
    if (crypto.createHash('sha256').update(raw).digest('hex') === pin) return text;
  }
  throw new Error("no root of this gateway has the invitation's fingerprint: stop here, and ask who invited you");
}

// The key that the next certificate is for. It is stored before it is used, so that a run which is
// killed goes on with the same key.
function nextKey(dir) {
  const file = path.join(dir, 'next-key.pem');
  if (!fs.existsSync(file)) {
    const { privateKey } = crypto.generateKeyPairSync('ec', { namedCurve: 'P-256' });
    write(dir, 'next-key.pem', privateKey.export({ type: 'pkcs8', format: 'pem' }));
  }
  return readKey(file);
}

function readKey(file) {
  const [text] = /-----BEGIN PRIVATE KEY-----[^-]+-----END PRIVATE KEY-----/.exec(fs.readFileSync(file, 'utf8')) ?? [];
  if (!text) throw new Error(`${file} holds no private key`);
  return crypto.createPrivateKey(text);
}

const publicDer = (key) => crypto.createPublicKey(key).export({ type: 'spki', format: 'der' });
const same = (one, other) => publicDer(one).equals(publicDer(other));

// A proof (DPoP, RFC 9449) for a POST: a JWT that is valid for one minute.
function proof(key, url, claims = {}) {
  const encode = (value) => Buffer.from(JSON.stringify(value)).toString('base64url');
  const { kty, crv, x, y } = crypto.createPublicKey(key).export({ format: 'jwk' });
  const header = { typ: 'dpop+jwt', alg: 'ES256', jwk: { kty, crv, x, y } };
  const now = Math.floor(Date.now() / 1000);
  const all = { htm: 'POST', htu: url, iat: now, jti: crypto.randomUUID(), ...claims };
  const signed = `${encode(header)}.${encode(all)}`;
  const signature = crypto.sign('sha256', Buffer.from(signed), { key, dsaEncoding: 'ieee-p1363' });
  return `${signed}.${signature.toString('base64url')}`;
}

// A PKCS #10 request (RFC 2986), as DER. Node makes none; the gateway uses its public key only.
function certificateRequest(key) {
  const oid = (hex) => der(0x06, Buffer.from(hex, 'hex'));
  const commonName = der(0x30, oid('550403'), der(0x0c, Buffer.from('peer')));
  const subject = der(0x30, der(0x31, commonName));
  const info = der(0x30, der(0x02, Buffer.from([0])), subject, publicDer(key), der(0xa0));
  const ecdsaWithSha256 = der(0x30, oid('2a8648ce3d040302'));
  const signature = der(0x03, Buffer.from([0]), crypto.sign('sha256', info, key));
  return der(0x30, info, ecdsaWithSha256, signature);
}

function der(tag, ...parts) {
  const content = Buffer.concat(parts);
  const size = content.length;
  const length = size < 0x80 ? [size] : size < 0x100 ? [0x81, size] : [0x82, size >> 8, size & 0xff];
  return Buffer.concat([Buffer.from([tag, ...length]), content]);
}

function pem(label, content) {
  const lines = content.toString('base64').match(/.{1,64}/g).join('\n');
  return `-----BEGIN ${label}-----\n${lines}\n-----END ${label}-----\n`;
}

// Check the answer, and put key, certificate and intermediates into place as one file.
function store(dir, gateway, key, issued) {
  const chain = [issued.certificate, ...issued.chain, gateway.root].map((each) => new crypto.X509Certificate(each));
  if (!chain[0].checkPrivateKey(key)) throw new Error('the certificate is for another key than ours');
  for (let index = 0; index + 1 < chain.length; index += 1) {
    const [child, issuer] = [chain[index], chain[index + 1]];
    const valid = child.checkIssued(issuer) && child.verify(issuer.publicKey) && issuer.ca;
    if (!valid) throw new Error('the certificate does not lead to the pinned root');
  }
  const text = key.export({ type: 'pkcs8', format: 'pem' }) + issued.certificate + issued.chain.join('');
  write(dir, 'gateway.json', JSON.stringify(gateway));
  write(dir, 'credential.pem', text);
  fs.rmSync(path.join(dir, 'next-key.pem'));
  return issued;
}

// Make a file that only its owner may read, whole or not at all.
function write(dir, name, content) {
  const temporary = path.join(dir, `.new-${crypto.randomUUID()}`);
  fs.writeFileSync(temporary, content, { mode: 0o600, flag: 'wx', flush: true });
  fs.renameSync(temporary, path.join(dir, name));
}

const [verb, dir, ...rest] = process.argv.slice(2);
const run = { enroll, renew }[verb];
if (!run || !dir || rest.length) {
  console.error('usage: node enroll.mjs enroll DIR < invitation, or node enroll.mjs renew DIR');
  process.exit(64);
}
try {
  const issued = await run(dir);
  console.log(`certificate ${issued.serial} until ${issued.notAfter}, renew after ${issued.renewAfter}`);
} catch (error) {
  console.error(error.message);
  process.exitCode = error.retryable ? 75 : 1;
}
