// The guarded upstream of the tests: answers only a request whose bearer token the token service signed.
//
//   node upstream.mjs PORT JWKS_URL AUDIENCE [CERT KEY]      https where a certificate is given
//
// Echoes what arrived as JSON. POST /test/revoke refuses every token seen so far; GET /test/seen tells
// the tokens and the requests it has seen. `?ms=N` waits before it answers,
// `?verdict_ms=N` before it looks at the token.

import fs from 'node:fs';
import http from 'node:http';
import https from 'node:https';
import * as jose from 'jose';

const [port, jwksUrl, audience, cert, key] = process.argv.slice(2);
const jwks = jose.createRemoteJWKSet(new URL(jwksUrl));
const accepted = new Map(); // token -> its exp, so a signature is checked once
const revoked = new Set();
const seen = { accepted: 0, refused: 0 };

const server = cert
  ? https.createServer({ cert: fs.readFileSync(cert), key: fs.readFileSync(key) }, handle)
  : http.createServer(handle);
server.requestTimeout = 0;
server.keepAliveTimeout = 60_000;
server.listen(Number(port), '127.0.0.1', 4096, () => console.log('listening'));

async function handle(request, response) {
  const url = new URL(request.url, 'http://upstream');
  if (url.pathname === '/test/revoke') {
    for (const token of accepted.keys()) revoked.add(token);
    accepted.clear();
    return answer(response, 200, {});
  }
  if (url.pathname === '/test/seen') {
    return answer(response, 200, { ...seen, tokens: [...accepted.keys(), ...revoked] });
  }
  await pause(url.searchParams.get('verdict_ms'));
  // The verdict comes before the body, as from a gateway that looks at the head alone.
  const fault = await faultOf(request.headers.authorization);
  if (fault) {
    seen.refused += 1;
    request.resume();
    response.setHeader('WWW-Authenticate', `Bearer error="invalid_token", error_description="${fault}"`);
    return answer(response, 401, { fault });
  }
  seen.accepted += 1;
  let bytes = 0;
  for await (const chunk of request) bytes += chunk.length;
  await pause(url.searchParams.get('ms'));
  const { authorization: _, ...headers } = request.headers;
  answer(response, 200, { method: request.method, path: request.url, host: headers.host, bytes, headers });
}

async function faultOf(authorization) {
  const token = /^Bearer (.+)$/.exec(authorization ?? '')?.[1];
  if (!token) return 'no bearer token';
  if (revoked.has(token)) return 'revoked';
  if (!accepted.has(token)) {
    try {
      const { payload } = await jose.jwtVerify(token, jwks, { audience, clockTolerance: 1 });
      accepted.set(token, payload.exp);
    } catch (error) {
      return error.code ?? 'unreadable';
    }
  }
  // A second of grace, as is usual: `exp` and `iat` are whole seconds, a life is not.
  return accepted.get(token) + 1 > Date.now() / 1000 ? null : 'expired';
}

function pause(milliseconds) {
  return milliseconds && new Promise((go) => setTimeout(go, Number(milliseconds)));
}

function answer(response, status, body) {
  if (response.destroyed) return;
  response.writeHead(status, { 'Content-Type': 'application/json' });
  response.end(JSON.stringify(body));
}
