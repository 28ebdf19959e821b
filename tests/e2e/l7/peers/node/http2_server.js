// Node's HTTP/2 server: http2_server.js PORT
// Answers a POST with its body and, as a trailer, the number of bytes; a GET of /early with a 103 first.
'use strict';

const http2 = require('node:http2');

const server = http2.createServer();
server.on('stream', (stream, headers) => {
  if (headers[':path'] === '/early') stream.additionalHeaders({':status': 103, link: '</style.css>; rel=preload'});
  stream.respond({':status': 200, 'x-method': headers[':method'], 'x-cookie': headers.cookie ?? ''},
                 {waitForTrailers: true});
  let bytes = 0;
  stream.on('data', (part) => { bytes += part.length; });
  stream.on('wantTrailers', () => stream.sendTrailers({'x-bytes': String(bytes)}));
  stream.on('error', () => {});
  stream.pipe(stream);
});
server.listen(Number(process.argv[2]), '127.0.0.1');
