// Asks for an upgrade, then sends bytes and takes them back: websocket_client.js PORT
'use strict';

const crypto = require('node:crypto');
const http = require('node:http');

const sent = crypto.randomBytes(200000);
const request = http.request({
  host: '127.0.0.1', port: Number(process.argv[2]), path: '/socket',
  headers: {Connection: 'Upgrade', Upgrade: 'websocket', 'Sec-WebSocket-Version': '13', 'Sec-WebSocket-Key': 'dGhlIHNhbXBsZSBub25jZQ=='},
});
request.on('response', (response) => {
  console.log(`${response.statusCode}, no upgrade`);
  process.exit(1);
});
request.on('upgrade', (response, socket, head) => {
  let got = head;
  socket.on('data', (part) => {
    got = Buffer.concat([got, part]);
    if (got.length < sent.length) return;
    console.log(`${response.statusCode} ${got.equals(sent) ? 'all' : 'not the same'} ${got.length} bytes came back`);
    socket.end();
  });
  socket.write(sent);
});
request.end();
