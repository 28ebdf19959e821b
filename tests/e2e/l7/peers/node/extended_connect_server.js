// Takes extended CONNECT (RFC 8441) and sends back what comes: extended_connect_server.js PORT [no]
// "no": does not announce that it takes it.
'use strict';

const http2 = require('node:http2');

const settings = process.argv[3] === 'no' ? {} : {enableConnectProtocol: true};
const server = http2.createServer({settings});
server.on('stream', (stream, headers) => {
  stream.on('error', () => {});
  stream.respond({':status': 200, 'x-protocol': headers[':protocol'] || 'none'});
  stream.pipe(stream);
});
server.listen(Number(process.argv[2]), '127.0.0.1');
