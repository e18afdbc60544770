// Symbl's JavaScript SDK, unmodified: logs in, then reads a conversation's messages for each line on stdin.
//
//   node symbl_sdk.cjs URL APP_ID APP_SECRET      one JSON line for each: the messages and the token, or the error's status

const readline = require('node:readline');
const sdk = require('@symblai/api-client');

const [url, appId, appSecret] = process.argv.slice(2);
const client = sdk.ApiClient.instance;
client.basePath = url;

function call(api, name, ...args) {
  return new Promise((go, stop) => api[name](...args, (error, data) => (error ? stop(error) : go(data))));
}

let login;
async function messages() {
  login ??= call(new sdk.AuthenticationApi(), 'generateToken', { type: 'application', appId, appSecret });
  const token = (await login).accessToken;
  client.authentications.jwt.apiKey = token;
  const found = await call(new sdk.MessagesApi(), 'getMessagesByConversationId', '123');
  return { messages: found.messages.map((message) => message.text), token };
}

readline.createInterface({ input: process.stdin }).on('line', async () => {
  const said = await messages().catch((error) => ({ error: error.message, status: error.status }));
  console.log(JSON.stringify(said));
});
