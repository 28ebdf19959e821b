// Node's HTTP/2 client: http2_client.js PORT BYTES
// Three requests at once on one connection: a POST whose body comes back, a HEAD, a GET of /early.
'use strict';

const crypto = require('node:crypto');
const http2 = require('node:http2');

const [port, bytes] = process.argv.slice(2).map(Number);
const session = http2.connect(`http://127.0.0.1:${port}`);
const body = crypto.randomBytes(bytes);

function request(headers, sent) {
  return new Promise((resolve, reject) => {
    const stream = session.request(headers, {endStream: sent === undefined});
    const parts = [];
    const found = {early: 0};
    stream.on('headers', () => { found.early++; });
    stream.on('response', (got) => Object.assign(found, {status: got[':status'], method: got['x-method'], cookie: got['x-cookie']}));
    stream.on('trailers', (got) => { found.trailer = got['x-bytes']; });
    stream.on('data', (part) => parts.push(part));
    stream.on('end', () => resolve({...found, body: Buffer.concat(parts)}));
    stream.on('error', reject);
    if (sent !== undefined) stream.end(sent);
  });
}

Promise.all([
  request({':method': 'POST', ':path': '/echo', cookie: ['a=1', 'b=2']}, body),
  request({':method': 'HEAD', ':path': '/'}),
  request({':path': '/early'}),
]).then(([post, head, early]) => {
  console.log(JSON.stringify({
    post: {status: post.status, same: post.body.equals(body), trailer: post.trailer, cookie: post.cookie},
    head: {status: head.status, method: head.method, bytes: head.body.length},
    early: {status: early.status, early: early.early},
  }));
  session.close();
});
