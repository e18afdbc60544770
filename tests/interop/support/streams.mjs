// An upstream for what is sent in pieces, in HTTP/1.1 on one socket and in HTTP/2 on another, which are open already:
//
//   streams.mjs DESCRIPTOR DESCRIPTOR
//
// At SIGTERM it takes nobody new, answers what it has begun, and ends; who waits is left to others with these sockets.
// Whatever it is asked, it answers how much of a body came, and `early`: how much of it before the 100 that was asked for.

import http from 'node:http';
import http2 from 'node:http2';

const [one, two] = process.argv.slice(2).map(Number);
const older = http.createServer(handle).on('checkContinue', permit);
const newer = http2.createServer(handle).on('checkContinue', permit);
older.requestTimeout = 0;
older.listen({ fd: one }, () => newer.listen({ fd: two }, () => console.log('listening')));

const sessions = new Set();
newer.on('session', (session) => sessions.add(session.on('close', () => sessions.delete(session))));
process.on('SIGTERM', () => {
  older.close();
  newer.close();
  for (const session of sessions) session.close();
});

// `?permit_ms=N` makes the 100 wait so long; `/refused` never gives one.
function permit(request, response) {
  const url = new URL(request.url, 'http://upstream');
  if (url.pathname === '/refused') return answer(response, 413, {});
  let early = 0;
  request.on('data', (piece) => (early += piece.length));
  setTimeout(() => {
    request.removeAllListeners('data');
    response.writeContinue();
    handle(request, response, early);
  }, Number(url.searchParams.get('permit_ms')));
}

async function handle(request, response, early = 0) {
  const url = new URL(request.url, 'http://upstream');
  const number = (name) => Number(url.searchParams.get(name));
  request.on('error', () => {});
  response.on('error', () => {});
  if (url.pathname === '/refused') return answer(response, 413, {});
  if (url.pathname === '/events') return events(response, number('count'), number('ms'));
  if (url.pathname === '/file') return file(request, response, number('bytes'));
  if (url.pathname === '/interim') for (let i = 0; i < number('count'); i++) interim(response);
  let bytes = early;
  for await (const piece of request) bytes += piece.length;
  if (number('ms')) await new Promise((go) => setTimeout(go, number('ms')));
  answer(response, 200, { method: request.method, version: request.httpVersion, bytes, early, headers: request.headers });
}

function interim(response) {
  response.writeEarlyHints({ link: '</style.css>; rel=preload' });
}

// Each event is the time of its sending, in milliseconds.
async function events(response, count, ms) {
  response.writeHead(200, { 'content-type': 'text/event-stream' });
  for (let i = 0; i < count; i++) {
    response.write(`data: ${Date.now()}\n\n`);
    await new Promise((go) => setTimeout(go, ms));
  }
  response.end();
}

// Bytes that count up; one range of them where it is asked for.
function file(request, response, bytes) {
  const range = /^bytes=(\d*)-(\d*)$/.exec(request.headers.range ?? '');
  let [from, to] = [0, bytes - 1];
  if (range?.[1]) [from, to] = [Number(range[1]), Math.min(to, Number(range[2] || to))];
  else if (range?.[2]) from = bytes - Number(range[2]);
  if (from > to) return answer(response, 416, {}, { 'content-range': `bytes */${bytes}` });
  const headers = { 'content-type': 'application/octet-stream', 'accept-ranges': 'bytes', 'content-length': to - from + 1 };
  if (range) headers['content-range'] = `bytes ${from}-${to}/${bytes}`;
  response.writeHead(range ? 206 : 200, headers);
  response.end(Buffer.from(Array.from({ length: to - from + 1 }, (_, i) => (from + i) % 251)));
}

function answer(response, status, body, headers = {}) {
  if (response.destroyed) return;
  response.writeHead(status, { 'content-type': 'application/json', ...headers });
  response.end(JSON.stringify(body));
}
