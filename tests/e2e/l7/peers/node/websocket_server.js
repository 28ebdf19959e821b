// Takes an HTTP/1.1 upgrade and sends back what comes: websocket_server.js PORT
'use strict';

const crypto = require('node:crypto');
const http = require('node:http');

const GUID = '258EAFA5-E914-47DA-95CA-C5AB0DC85B11';  // RFC 6455 section 1.3
const server = http.createServer((request, response) => response.end('no upgrade'));
server.on('upgrade', (request, socket, head) => {
  const accept = crypto.createHash('sha1').update(request.headers['sec-websocket-key'] + GUID).digest('base64');
  socket.write('HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n' +
               `Sec-WebSocket-Accept: ${accept}\r\n\r\n`);
  socket.write(head);
  socket.on('error', () => {});
  socket.pipe(socket);
});
server.listen(Number(process.argv[2]), '127.0.0.1');
