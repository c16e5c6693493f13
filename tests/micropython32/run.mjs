// Run one Python file under MicroPython on 32 bits, compiled to WebAssembly.
//
//     node run.mjs PACKAGE ROOT FILE [FOLDER...]
//
// PACKAGE is the folder with micropython.mjs; FOLDERs, relative to ROOT, are copied into its file
// system. Ends with the exit code of the file.

import { createCipheriv, randomBytes } from "node:crypto";
import { readFileSync, readdirSync, statSync } from "node:fs";
import { basename, join, relative } from "node:path";
import { pathToFileURL } from "node:url";

const HEAP_BYTES = Number(process.env.MICROPYTHON_HEAP_BYTES ?? 16 * 1024 * 1024);

const [packageFolder, root, file, ...folders] = process.argv.slice(2);
const { loadMicroPython } = await import(pathToFileURL(join(packageFolder, "micropython.mjs")));

const micropython = await loadMicroPython({
  heapsize: HEAP_BYTES,
  linebuffer: true,
  stdout: (line) => console.log(line),
  stderr: (line) => console.error(line),
});

function copy(source, target) {
  if (statSync(source).isDirectory()) {
    micropython.FS.mkdirTree(target);
    for (const name of readdirSync(source)) copy(join(source, name), `${target}/${name}`);
  } else if (!source.endsWith(".pyc")) {
    micropython.FS.writeFile(target, readFileSync(source));
  }
}

for (const folder of folders) copy(join(root, folder), `/project/${relative(".", folder)}`);
copy(file, `/project/${basename(file)}`);

// What the shims ask for: this build of MicroPython has neither AES nor random bytes.
micropython.registerJsModule("hostcrypto", {
  random: (size) => randomBytes(size).toString("hex"),
  ecb(key, blocks) {
    const cipher = createCipheriv("aes-256-ecb", Buffer.from(key, "hex"), null);
    cipher.setAutoPadding(false);
    return cipher.update(blocks, "hex", "hex");
  },
});

micropython.runPython(`
import sys
sys.path[:] = ["/project/tests/micropython32/shims", "/project/firmware", "/project",
               "/project/tests/shims", ".frozen"]
import os
os.chdir("/project")
_code = 0
try:
    with open(${JSON.stringify(basename(file))}) as _file:
        exec(compile(_file.read(), ${JSON.stringify(basename(file))}, "exec"), globals())
except SystemExit as _end:
    _code = _end.args[0] if _end.args else 0
except Exception as _error:
    sys.print_exception(_error)
    _code = 1
`);
// A file may leave `phases` behind, functions without arguments: memory is collected between them.
for (;;) {
  micropython.runPython('_left = len(globals().get("phases", ()))');
  if (!micropython.globals.get("_left")) break;
  micropython.runPython("phases.pop(0)()");
}
process.exitCode = micropython.globals.get("_code") ?? 0;
