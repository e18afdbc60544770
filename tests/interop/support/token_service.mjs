// A real authorization server (npm oidc-provider) for the tests, strict about how a client authenticates.
//
//   node token_service.mjs PORT KEY_FILE LIFE_SECONDS
//
// KEY_FILE (JSON, made when it is not there) holds the signing key, so that a restarted service still
// issues tokens that the upstream accepts; the keys of the clients that sign lie beside it, one PEM for
// each algorithm: client-ALG.pem. Each token request is one JSON line on stdout.
// GET /test/requests tells how many there were; POST /test/life?seconds=N sets the life of later tokens;
// POST /test/dpop_nonce asks for a nonce in every proof from now on; POST /test/interval?seconds=N tells
// devices how often to ask; GET /test/user_token?sub=S is a token of that user's, such as an application
// would hand on. POST /test/grant?sub=S tells a refresh token as that user's login would bring it, GET what its
// renewals issued; one that is spent twice revokes its grant, which is a JSON line too.
// POST /test/strike?lane=L&pid=P&signal=S&at=AT&ms=N sends the signal to that process so long after the next
// request to /token?lane=L has come in (AT is "arrived"), was acted on ("spent") or was answered ("answered");
// with the lane alone, to nobody.

import { generateKeyPairSync } from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import * as jose from 'jose';
import { Provider } from 'oidc-provider';

const [port, keyFile, life] = process.argv.slice(2);
const issuer = `http://127.0.0.1:${port}`;
const audience = 'urn:interop:api';
const DEVICE = 'urn:ietf:params:oauth:grant-type:device_code';
const EXCHANGE = 'urn:ietf:params:oauth:grant-type:token-exchange';
const TYPE = 'urn:ietf:params:oauth:token-type:';
const KEYS = {
  RS256: ['rsa', { modulusLength: 2048 }],
  PS256: ['rsa', { modulusLength: 2048 }],
  ES256: ['ec', { namedCurve: 'P-256' }],
  EdDSA: ['ed25519', {}],
};
const state = { requests: 0, life: Number(life), dpopNonce: false, strikes: new Map(), issued: new Map() };
const signing = await signingKey();

const provider = new Provider(issuer, {
  jwks: { keys: [signing] },
  clients: [
    // Every character of this secret changes under the form-encoding of RFC 6749 2.3.1.
    client('basic:id', 'client_secret_basic', { client_secret: 's%cr&t:x/+ =~' }),
    client('post', 'client_secret_post', { client_secret: 'secret-in-the-body' }),
    client('signs-with-secret', 'client_secret_jwt', {
      client_secret: 'a-secret-of-at-least-32-characters!!',
      token_endpoint_auth_signing_alg: 'HS256',
    }),
    ...(await Promise.all(Object.keys(KEYS).map(signingClient))),
    client('dpop', 'client_secret_basic', { client_secret: 'secret-of-dpop', dpop_bound_access_tokens: true }),
    client('exchanger', 'client_secret_basic', {
      client_secret: 'secret-of-the-exchanger',
      grant_types: ['client_credentials', EXCHANGE],
    }),
    client('device', 'none', { grant_types: [DEVICE, 'refresh_token'] }),
  ],
  scopes: ['catalog'],
  cookies: { keys: ['of no worth: its browser is a test'] },
  rotateRefreshToken: true,
  issueRefreshToken: (_, client) => client.grantTypeAllowed('refresh_token'),
  ttl: { RefreshToken: 3600, DeviceCode: 60, Grant: 3600, Session: 3600, Interaction: 60 },
  features: {
    clientCredentials: { enabled: true },
    deviceFlow: { enabled: true },
    devInteractions: { enabled: true },
    dPoP: { enabled: true, nonceSecret: Buffer.alloc(32, 7), requireNonce: () => state.dpopNonce },
    resourceIndicators: {
      enabled: true,
      defaultResource: () => audience,
      useGrantedResource: () => true,
      getResourceServerInfo: () => ({
        scope: 'catalog',
        audience,
        accessTokenTTL: state.life,
        accessTokenFormat: 'jwt',
      }),
    },
  },
});

provider.registerGrantType(
  EXCHANGE,
  exchange,
  ['subject_token', 'subject_token_type', 'actor_token', 'actor_token_type', 'requested_token_type', 'audience', 'resource', 'scope'],
  ['audience', 'resource'],
);

provider.use(async (ctx, next) => {
  if (ctx.path === '/test/requests') {
    ctx.body = { requests: state.requests };
  } else if (ctx.path === '/test/life') {
    state.life = Number(ctx.query.seconds);
    ctx.body = {};
  } else if (ctx.path === '/test/dpop_nonce') {
    state.dpopNonce = true;
    ctx.body = {};
  } else if (ctx.path === '/test/interval') {
    state.interval = Number(ctx.query.seconds);
    ctx.body = {};
  } else if (ctx.path === '/device/auth') {
    await next();
    // It tells none by itself: five seconds then.
    if (state.interval) ctx.body.interval = state.interval;
  } else if (ctx.path === '/test/user_token') {
    ctx.body = { token: await issued({ sub: ctx.query.sub }) };
  } else if (ctx.path === '/test/grant') {
    const { sub } = ctx.query;
    ctx.body = ctx.method === 'POST' ? { refresh_token: await granted(sub) } : { issued: state.issued.get(sub) ?? [] };
  } else if (ctx.path === '/test/strike') {
    const { lane, ...strike } = ctx.query;
    state.strikes.set(lane, strike);
    ctx.body = {};
  } else if (ctx.path === '/token') {
    state.requests += 1;
    const token_request = state.requests;
    const strike = struck(ctx.query.lane);
    await strike('arrived');
    await next();
    const { Account, AccessToken } = ctx.oidc?.entities ?? {};
    if (Account && AccessToken) issue(Account.accountId, AccessToken.jti);
    await strike('spent');
    ctx.res.once('finish', () => strike('answered'));
    const client = ctx.oidc?.client?.clientId ?? null;
    const grant = ctx.oidc?.params?.grant_type ?? null;
    console.log(JSON.stringify({ token_request, client, grant, status: ctx.status }));
  } else {
    await next();
  }
});
provider.on('grant.revoked', (ctx) => console.log(JSON.stringify({ grant_revoked: ctx.oidc.account?.accountId ?? null })));
provider.on('server_error', (_, error) => console.error('server_error', error));
provider.on('grant.error', (_, error) => console.error('grant.error', error.message, error.error_detail));
provider.listen(Number(port), '127.0.0.1', () => console.log('listening'));

// What a person's login leaves, without the person.
async function granted(accountId) {
  const grant = new provider.Grant({ accountId, clientId: 'device' });
  grant.addResourceScope(audience, 'catalog');
  const grantId = await grant.save();
  const client = await provider.Client.find('device');
  const kept = { client, accountId, grantId, gty: DEVICE, scope: 'catalog', resource: audience, expiresWithSession: false };
  return new provider.RefreshToken(kept).save();
}

function issue(sub, jti) {
  state.issued.set(sub, [...(state.issued.get(sub) ?? []), jti]);
}

// The next request of this lane: waits at the point that was asked for, and sends its signal.
function struck(lane) {
  const strike = state.strikes.get(lane);
  state.strikes.delete(lane);
  return async (point) => {
    if (strike?.at !== point) return;
    await new Promise((go) => setTimeout(go, Number(strike.ms)));
    try {
      process.kill(Number(strike.pid), strike.signal);
    } catch {
      // It has ended already.
    }
  };
}

// RFC 8693 for tokens of our own: the subject is whose token comes out, the actor who acts for it.
async function exchange(ctx) {
  const { subject_token, subject_token_type, actor_token, actor_token_type, requested_token_type } = ctx.oidc.params;
  const refuse = (error_description) => {
    ctx.status = 400;
    ctx.body = { error: 'invalid_request', error_description };
  };
  if (!subject_token || ![`${TYPE}access_token`, `${TYPE}jwt`].includes(subject_token_type)) return refuse('subject');
  if (!actor_token !== !actor_token_type) return refuse('an actor needs its type, and a type its actor');
  if (requested_token_type && requested_token_type !== `${TYPE}access_token`) return refuse('requested type');
  const subject = await verified(subject_token);
  const actor = actor_token && (await verified(actor_token));
  if (!subject || actor === null) return refuse('a token that is not good');
  const more = actor ? { act: { sub: actor.sub ?? actor.client_id } } : {};
  ctx.set('cache-control', 'no-store');
  ctx.body = {
    access_token: await issued({ sub: subject.sub, client_id: ctx.oidc.client.clientId, ...more }),
    issued_token_type: `${TYPE}access_token`,
    token_type: 'Bearer',
    expires_in: state.life,
  };
}

async function verified(token) {
  try {
    return (await jose.jwtVerify(token, await jose.importJWK(publicHalf(signing), 'RS256'), { audience })).payload;
  } catch {
    return null;
  }
}

async function issued(claims) {
  return new jose.SignJWT({ scope: 'catalog', ...claims })
    .setProtectedHeader({ alg: 'RS256', kid: signing.kid, typ: 'at+jwt' })
    .setIssuer(issuer)
    .setAudience(audience)
    .setIssuedAt()
    .setJti(crypto.randomUUID())
    .setExpirationTime(Math.floor(Date.now() / 1000) + state.life)
    .sign(await jose.importJWK(signing, 'RS256'));
}

function client(id, method, more) {
  return {
    client_id: id,
    token_endpoint_auth_method: method,
    grant_types: ['client_credentials'],
    redirect_uris: [],
    response_types: [],
    ...more,
  };
}

async function signingClient(alg) {
  const file = path.join(path.dirname(keyFile), `client-${alg}.pem`);
  if (!fs.existsSync(file)) {
    const { privateKey } = generateKeyPairSync(...KEYS[alg]);
    fs.writeFileSync(file, privateKey.export({ type: 'pkcs8', format: 'pem' }), { mode: 0o600 });
  }
  const key = await jose.importPKCS8(fs.readFileSync(file, 'utf8'), alg, { extractable: true });
  const jwk = { ...publicHalf(await jose.exportJWK(key)), alg, use: 'sig', kid: `key-${alg}` };
  return client(`signs-${alg}`, 'private_key_jwt', {
    jwks: { keys: [jwk] },
    token_endpoint_auth_signing_alg: alg,
  });
}

async function signingKey() {
  if (!fs.existsSync(keyFile)) {
    const { privateKey } = await jose.generateKeyPair('RS256', { extractable: true });
    const key = { ...(await jose.exportJWK(privateKey)), alg: 'RS256', use: 'sig', kid: 'interop' };
    fs.writeFileSync(keyFile, JSON.stringify(key), { mode: 0o600 });
  }
  return JSON.parse(fs.readFileSync(keyFile, 'utf8'));
}

function publicHalf({ kty, crv, x, y, n, e, alg, use, kid }) {
  return JSON.parse(JSON.stringify({ kty, crv, x, y, n, e, alg, use, kid }));
}
