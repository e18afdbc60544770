// Streams of one HTTP/2 connection, each asking anew when it was answered, until the server says goodbye:
//
//   http2_load.mjs URL STREAMS
//
// At the end it tells, as JSON, how often each status came whole, and how else requests ended.

import http2 from 'node:http2';

const [url, streams] = process.argv.slice(2);
const { origin, pathname, search } = new URL(url);
const ends = {};
const session = http2.connect(origin);
let over = false;
session.on('goaway', () => (over = true));
session.on('error', (error) => count(`connection: ${error.code}`));
session.on('close', () => console.log(JSON.stringify(ends)));
session.on('connect', () => {
  for (let i = 0; i < Number(streams); i++) ask();
});

function count(end) {
  ends[end] = (ends[end] ?? 0) + 1;
}

function ask() {
  if (over || session.closed || session.destroyed) return;
  const stream = session.request({ ':path': pathname + search });
  let status;
  let whole = false;
  stream.on('response', (head) => (status = head[':status']));
  stream.on('end', () => (whole = true));
  stream.on('error', () => {});
  stream.on('close', () => {
    // What the server says that it never began is nobody's loss.
    if (stream.rstCode !== http2.constants.NGHTTP2_REFUSED_STREAM) count(whole ? status : `cut: ${stream.rstCode}`);
    ask();
  });
  stream.resume();
}
