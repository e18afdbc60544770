// A real authorization server (npm oidc-provider) for the tests, strict about how a client authenticates.
//
//   node token_service.mjs PORT KEY_FILE LIFE_SECONDS
//
// KEY_FILE (JSON, made when it is not there) holds the signing key, so that a restarted service still
// issues tokens that the upstream accepts. Each token request is one JSON line on stdout.
// GET /test/requests tells how many there were; POST /test/life?seconds=N sets the life of later tokens.

import fs from 'node:fs';
import * as jose from 'jose';
import { Provider } from 'oidc-provider';

const [port, keyFile, life] = process.argv.slice(2);
const issuer = `http://127.0.0.1:${port}`;
const audience = 'urn:interop:api';
const state = { requests: 0, life: Number(life) };

const provider = new Provider(issuer, {
  jwks: { keys: [await signingKey()] },
  clients: [
    // Every character of this secret changes under the form-encoding of RFC 6749 2.3.1.
    client('basic:id', 's%cr&t:x/+ =~', 'client_secret_basic'),
    client('post', 'secret-in-the-body', 'client_secret_post'),
  ],
  scopes: ['catalog'],
  cookies: { keys: ['not used: no browser comes here'] },
  features: {
    clientCredentials: { enabled: true },
    devInteractions: { enabled: false },
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

provider.use(async (ctx, next) => {
  if (ctx.path === '/test/requests') {
    ctx.body = { requests: state.requests };
  } else if (ctx.path === '/test/life') {
    state.life = Number(ctx.query.seconds);
    ctx.body = {};
  } else if (ctx.path === '/token') {
    state.requests += 1;
    await next();
    const client = ctx.oidc?.client?.clientId ?? null;
    console.log(JSON.stringify({ token_request: state.requests, client, status: ctx.status }));
  } else {
    await next();
  }
});
provider.on('server_error', (_, error) => console.error('server_error', error));
provider.on('grant.error', (_, error) => console.error('grant.error', error.message, error.error_detail));
provider.listen(Number(port), '127.0.0.1', () => console.log('listening'));

function client(id, secret, method) {
  return {
    client_id: id,
    client_secret: secret,
    token_endpoint_auth_method: method,
    grant_types: ['client_credentials'],
    redirect_uris: [],
    response_types: [],
  };
}

async function signingKey() {
  if (!fs.existsSync(keyFile)) {
    const { privateKey } = await jose.generateKeyPair('RS256', { extractable: true });
    const key = { ...(await jose.exportJWK(privateKey)), alg: 'RS256', use: 'sig', kid: 'interop' };
    fs.writeFileSync(keyFile, JSON.stringify(key), { mode: 0o600 });
  }
  return JSON.parse(fs.readFileSync(keyFile, 'utf8'));
}
