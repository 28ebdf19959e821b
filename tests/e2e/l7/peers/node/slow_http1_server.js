// Never answers; says when a client gives a request up: slow_http1_server.js PORT
'use strict';

const http = require('node:http');

const server = http.createServer((request, response) => {
  response.on('close', () => console.log(`closed ${request.url}`));
});
server.listen(Number(process.argv[2]), '127.0.0.1');
