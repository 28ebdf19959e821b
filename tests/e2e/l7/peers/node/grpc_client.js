// Calls the echo service by @grpc/grpc-js: grpc_client.js SCENARIO PORT [WORD...]
// Prints what it found as one line of JSON; the scenarios are those of ../grpc_client.py.
'use strict';

const crypto = require('node:crypto');
const grpc = require('@grpc/grpc-js');
const {service} = require('./echo_service.js');

const [scenario, port, ...words] = process.argv.slice(2);
const Echo = grpc.makeGenericClientConstructor(service, 'Echo');
const UNLIMITED = {'grpc.max_receive_message_length': -1, 'grpc.max_send_message_length': -1, 'grpc.enable_http_proxy': 0};
const echo = new Echo(`127.0.0.1:${port}`, grpc.credentials.createInsecure(), UNLIMITED);
const ALL_BYTES = Buffer.from(Array.from({length: 256}, (_, n) => n));
const TIMEOUT_MS = 30000;

const withDeadline = (ms = TIMEOUT_MS) => ({deadline: Date.now() + ms});
const codeName = (code) => Object.keys(grpc.status).find((name) => grpc.status[name] === code);

// One unary call: {reply, initial, trailing, code}, or {code, details, trailing} when it has failed.
function call(method, message, metadata = new grpc.Metadata(), ms = TIMEOUT_MS) {
  return new Promise((resolve) => {
    let initial;
    const made = echo[method](message, metadata, withDeadline(ms), (error, reply) => {
      made.result = error ? {code: codeName(error.code), details: error.details, trailing: error.metadata} : {reply};
    });
    made.on('metadata', (got) => { initial = got; });
    made.on('status', (status) => setImmediate(() => resolve(
        {initial, ...made.result, trailing: status.metadata, code: codeName(status.code)})));
  });
}

const failure = ({code, details, trailing}) => {
  const why = trailing.get('why');
  return {code, details, trailing: why.length ? {why: why[0]} : {}};
};

function received(stream) {
  return new Promise((resolve, reject) => {
    const got = [];
    stream.on('data', (message) => got.push(message));
    stream.on('error', reject);
    stream.on('end', () => resolve(got));
  });
}

const numbered = (count, size) => Array.from({length: count}, (_, n) => Buffer.alloc(size, n % 256));

const scenarios = {
  async unary() {
    const metadata = new grpc.Metadata();
    metadata.set('x-text', 'plain');
    metadata.set('x-data-bin', ALL_BYTES);
    const {reply, initial, trailing, code} = await call('Unary', Buffer.from('hello'), metadata);
    return {reply: reply.toString(), served_by: initial.get('served-by')[0], text: trailing.get('trailing-x-text')[0], code};
  },
  async binary_metadata() {
    const metadata = new grpc.Metadata();
    metadata.set('x-data-bin', ALL_BYTES);
    const {trailing} = await call('Unary', Buffer.alloc(0), metadata);
    return {same: ALL_BYTES.equals(trailing.get('trailing-x-data-bin')[0] ?? Buffer.alloc(0))};
  },
  async large(size) {
    const body = Buffer.alloc(Number(size), 'a pattern that is not a power of two');
    return {same: body.equals((await call('Unary', body)).reply)};
  },
  async server_stream(count, size) {
    const got = await received(echo.ServerStream(Buffer.from(`${count} ${size}`), withDeadline()));
    return {count: got.length, same: Buffer.concat(got).equals(Buffer.concat(numbered(Number(count), Number(size))))};
  },
  async client_stream(count, size) {
    const messages = numbered(Number(count), Number(size));
    const reply = await new Promise((resolve, reject) => {
      const stream = echo.ClientStream(withDeadline(), (error, message) => error ? reject(error) : resolve(message));
      for (const message of messages) stream.write(message);
      stream.end();
    });
    const digest = crypto.createHash('sha256').update(Buffer.concat(messages)).digest('hex');
    return {same: reply.toString() === `${count} ${digest}`};
  },
  async bidi(count) {
    const stream = echo.Bidi(withDeadline());
    const replies = [];
    stream.write(Buffer.from('0'));
    await new Promise((resolve, reject) => {
      stream.on('data', (message) => {
        replies.push(message.toString());
        if (replies.length < Number(count)) stream.write(Buffer.from(String(replies.length)));
        else stream.end();
      });
      stream.on('error', reject);
      stream.on('end', resolve);
    });
    return {same: replies.every((reply, n) => reply === String(n)) && replies.length === Number(count)};
  },
  async deadline() {
    const started = Date.now();
    return {...failure(await call('Sleep', Buffer.alloc(0), undefined, 500)), seconds: (Date.now() - started) / 1000};
  },
  async cancel() {
    const stream = echo.Endless(Buffer.alloc(0), withDeadline());
    let got = 0;
    const code = await new Promise((resolve) => {
      stream.on('data', () => { if (++got === 3) stream.cancel(); });
      stream.on('error', (error) => resolve(codeName(error.code)));
    });
    return {got: Math.min(got, 3), code, after: (await call('Unary', Buffer.from('on'))).reply.toString()};
  },
  async fail(code, details) {
    return failure(await call('Fail', Buffer.from(`${code} ${details}`)));
  },
  async spread(count) {
    const answered = {};
    for (let n = 0; n < Number(count); n++) {
      const name = (await call('Who', Buffer.alloc(0))).reply.toString();
      answered[name] = (answered[name] ?? 0) + 1;
    }
    return answered;
  },
  async at_once(count) {
    const streams = Array.from({length: Number(count)}, () => received(echo.ServerStream(Buffer.from('20 1000'), withDeadline())));
    return {whole: (await Promise.all(streams)).filter((got) => got.length === 20).length};
  },
};

scenarios[scenario](...words).then((found) => {
  console.log(JSON.stringify(found));
  echo.close();
});
