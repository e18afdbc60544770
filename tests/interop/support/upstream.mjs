// The guarded upstream of the tests: answers only a request whose bearer token the token service signed,
// or whose DPoP-bound token (RFC 9449) comes with a proof for this very request.
//
//   node upstream.mjs PORT JWKS_URL AUDIENCE [CERT KEY]      https where a certificate is given
//
// Echoes what arrived as JSON, and the token's claims. POST /test/revoke refuses every token seen so far; GET /test/seen tells
// the tokens and the requests it has seen, and with ?sub=S which of that user's were accepted, by `jti`. `?ms=N` waits before it answers,
// `?verdict_ms=N` before it looks at the token. POST /test/dpop_nonce asks for a new nonce in every proof.

import { createHash, randomUUID } from 'node:crypto';
import fs from 'node:fs';
import http from 'node:http';
import https from 'node:https';
import * as jose from 'jose';

const [port, jwksUrl, audience, cert, key] = process.argv.slice(2);
const jwks = jose.createRemoteJWKSet(new URL(jwksUrl));
const accepted = new Map(); // token -> its claims, so a signature is checked once
const revoked = new Set();
const proofs = new Set(); // the `jti` of each, to see one that comes again
const seen = { accepted: 0, refused: 0 };
let nonce = null;

// A client that was killed in the middle of its request is nobody's fault here.
const serve = (request, response) => handle(request, response).catch(() => response.destroy());
const server = cert
  ? https.createServer({ cert: fs.readFileSync(cert), key: fs.readFileSync(key) }, serve)
  : http.createServer(serve);
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
  if (url.pathname === '/test/dpop_nonce') {
    nonce = randomUUID();
    return answer(response, 200, {});
  }
  if (url.pathname === '/test/seen') {
    const sub = url.searchParams.get('sub');
    if (sub) {
      const theirs = [...accepted.values()].filter((claims) => claims.sub === sub);
      return answer(response, 200, { jtis: theirs.map((claims) => claims.jti) });
    }
    return answer(response, 200, { ...seen, tokens: [...accepted.keys(), ...revoked] });
  }
  await pause(url.searchParams.get('verdict_ms'));
  // The verdict comes before the body, as from a gateway that looks at the head alone.
  const [scheme, token] = (request.headers.authorization ?? '').split(' ');
  const fault = (await faultOf(scheme, token)) ?? (await faultOfProof(request, scheme, token));
  if (fault) {
    seen.refused += 1;
    request.resume();
    const error = fault === 'use_dpop_nonce' ? fault : 'invalid_token';
    response.setHeader('WWW-Authenticate', `${scheme || 'Bearer'} error="${error}", error_description="${fault}"`);
    if (nonce) response.setHeader('DPoP-Nonce', nonce);
    return answer(response, 401, { fault });
  }
  seen.accepted += 1;
  let bytes = 0;
  for await (const chunk of request) bytes += chunk.length;
  await pause(url.searchParams.get('ms'));
  const { authorization: _, ...headers } = request.headers;
  const claims = accepted.get(token);
  answer(response, 200, { method: request.method, path: request.url, host: headers.host, bytes, headers, claims });
}

async function faultOf(scheme, token) {
  if (!['Bearer', 'DPoP'].includes(scheme) || !token) return 'no bearer token';
  if (revoked.has(token)) return 'revoked';
  if (!accepted.has(token)) {
    try {
      const { payload } = await jose.jwtVerify(token, jwks, { audience, clockTolerance: 1 });
      accepted.set(token, payload);
    } catch (error) {
      return error.code ?? 'unreadable';
    }
  }
  // A second of grace, as is usual: `exp` and `iat` are whole seconds, a life is not.
  return accepted.get(token).exp + 1 > Date.now() / 1000 ? null : 'expired';
}

// RFC 9449 4.3 and 7.1: the proof is for this method, this URL and this token, by the key that the token names, and new.
async function faultOfProof(request, scheme, token) {
  const bound = accepted.get(token).cnf?.jkt;
  if (scheme === 'Bearer') return bound ? 'a bound token without its proof' : null;
  const proof = request.headers.dpop;
  if (!proof || proof.includes(',')) return 'not one proof';
  try {
    const { payload, protectedHeader } = await jose.jwtVerify(proof, jose.EmbeddedJWK, { typ: 'dpop+jwt' });
    if ((await jose.calculateJwkThumbprint(protectedHeader.jwk)) !== bound) return 'another key';
    if (payload.htm !== request.method) return 'htm';
    if (payload.htu !== `${cert ? 'https' : 'http'}://${request.headers.host}${request.url.split('?')[0]}`) return 'htu';
    if (payload.ath !== createHash('sha256').update(token).digest('base64url')) return 'ath';
    if (Math.abs(payload.iat - Date.now() / 1000) > 30) return 'iat';
    if (proofs.has(payload.jti)) return 'jti';
    if (nonce && payload.nonce !== nonce) return 'use_dpop_nonce';
    proofs.add(payload.jti);
    return null;
  } catch (error) {
    return error.code ?? 'unreadable';
  }
}

function pause(milliseconds) {
  return milliseconds && new Promise((go) => setTimeout(go, Number(milliseconds)));
}

function answer(response, status, body) {
  if (response.destroyed) return;
  response.writeHead(status, { 'Content-Type': 'application/json' });
  response.end(JSON.stringify(body));
}
