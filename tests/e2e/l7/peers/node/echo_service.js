// The echo service, as grpc-js wants it told. Messages are bytes as they are, so no generated code is needed.
'use strict';

const bytes = (message) => message;

function method(name, requestStream, responseStream) {
  return {
    path: `/test.Echo/${name}`, requestStream, responseStream,
    requestSerialize: bytes, requestDeserialize: bytes, responseSerialize: bytes, responseDeserialize: bytes,
  };
}

exports.service = {
  Unary: method('Unary', false, false),
  Who: method('Who', false, false),
  Fail: method('Fail', false, false),
  Sleep: method('Sleep', false, false),
  ServerStream: method('ServerStream', false, true),
  Endless: method('Endless', false, true),
  ClientStream: method('ClientStream', true, false),
  Bidi: method('Bidi', true, true),
};
