// Preloaded into jsii's Node: a prebuilt provider's index.js loads its 2,100 modules when they are first used.
"use strict";

const Module = require("node:module");

const INDEX = /[\\/]@cdktf[\\/]provider-[^\\/]+[\\/]lib[\\/]index\.js$/;
const EXPORT = /^exports\.(\w+) = require\((".+?")\);$/gm;
const compile = Module.prototype._compile;

Module.prototype._compile = function (source, filename, ...rest) {
  if (INDEX.test(filename)) {
    source = source.replace(
      EXPORT,
      (_, name, file) => `Object.defineProperty(exports, "${name}", { enumerable: true, get: () => require(${file}) });`,
    );
  }
  return compile.call(this, source, filename, ...rest);
};
