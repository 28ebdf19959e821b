// The echo service, by @grpc/grpc-js: grpc_server.js PORT NAME
'use strict';

const crypto = require('node:crypto');
const grpc = require('@grpc/grpc-js');
const {service} = require('./echo_service.js');

const [port, name] = process.argv.slice(2);
const UNLIMITED = {'grpc.max_receive_message_length': -1, 'grpc.max_send_message_length': -1};

function unary(call, done) {
  const first = new grpc.Metadata();
  first.set('served-by', name);
  call.sendMetadata(first);
  const trailing = new grpc.Metadata();
  for (const key of ['x-text', 'x-data-bin']) {
    for (const value of call.metadata.get(key)) trailing.add(`trailing-${key}`, value);
  }
  done(null, call.request, trailing);
}

function fail(call, done) {
  const [code, ...details] = call.request.toString().split(' ');
  const metadata = new grpc.Metadata();
  metadata.set('why', 'asked for');
  done({code: Number(code), details: details.join(' '), metadata});
}

function sleep(call) {
  call.on('cancelled', () => console.log('given up: Sleep'));
}

function serverStream(call) {
  const [count, size] = call.request.toString().split(' ').map(Number);
  let number = 0;
  const next = () => {
    while (number < count) {
      if (!call.write(Buffer.alloc(size, number++ % 256))) return call.once('drain', next);
    }
    call.end();
  };
  next();
}

function endless(call) {
  const timer = setInterval(() => call.write(Buffer.from('again')), 1);
  call.on('cancelled', () => {
    clearInterval(timer);
    console.log('given up: Endless');
  });
}

function clientStream(call, done) {
  const digest = crypto.createHash('sha256');
  let count = 0;
  call.on('data', (message) => {
    digest.update(message);
    count++;
  });
  call.on('end', () => done(null, Buffer.from(`${count} ${digest.digest('hex')}`)));
}

function bidi(call) {
  call.on('data', (message) => call.write(message));
  call.on('end', () => call.end());
}

const server = new grpc.Server(UNLIMITED);
server.addService(service, {
  Unary: unary, Who: (call, done) => done(null, Buffer.from(name)), Fail: fail, Sleep: sleep,
  ServerStream: serverStream, Endless: endless, ClientStream: clientStream, Bidi: bidi,
});
server.bindAsync(`0.0.0.0:${port}`, grpc.ServerCredentials.createInsecure(), (error) => {
  if (error) throw error;
});
