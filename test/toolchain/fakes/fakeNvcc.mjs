// Stands in for nvcc. What it does is asked for by a comment in the source: `// fake: spill`. Tests put a shebang in front.
import { spawn } from 'node:child_process';
import { appendFileSync, readFileSync, writeFileSync } from 'node:fs';
import { basename } from 'node:path';

const args = process.argv.slice(2);
const log = process.env.FAKE_NVCC_LOG;
if (log) appendFileSync(log, `${JSON.stringify({ args, folder: process.cwd(), temporary: process.env.TMPDIR, appended: process.env.NVCC_APPEND_FLAGS ?? null })}\n`);

if (args.includes('--version')) {
  const release = process.env.FAKE_NVCC_RELEASE ?? '13.0';
  console.log(`nvcc: NVIDIA (R) Cuda compiler driver\nCuda compilation tools, release ${release}, V${release}.88`);
} else if (args.includes('--list-gpu-code')) {
  console.log('sm_75\nsm_80\nsm_86\nsm_90\nsm_120');
} else if (args.includes('--dryrun')) {
  const native = process.env.FAKE_NATIVE;
  if (args.includes('-arch=native')) console.error(native ? `#$ ptxas -v -arch=${native} x` : "nvcc warning : Cannot find valid GPU for '-arch=native', default arch is used\n#$ ptxas -arch=sm_75");
} else {
  compile();
}

function compile() {
  const source = args.find((arg) => arg.endsWith('.cu'));
  const output = args[args.indexOf('-o') + 1];
  const text = readFileSync(source, 'utf8');
  const fault = /\/\/ fake: (\S+)/.exec(text)?.[1] ?? 'none';
  const kernels = [...text.matchAll(/__global__ void (\w+)/g)].map((match) => match[1]);
  if (fault === 'error') {
    console.error(`${process.env.TMPDIR}/${source}(2): error: identifier "foo" is undefined`);
    process.exit(1);
  }
  if (fault === 'crash') process.kill(process.pid, 'SIGSEGV');
  if (fault === 'crashInChild') process.exit(139);
  if (fault === 'noOutput') process.exit(0);
  if (fault === 'hang') {
    const child = spawn(process.execPath, ['-e', 'setInterval(() => {}, 1000)'], { stdio: 'inherit' });
    if (log) appendFileSync(log, `${JSON.stringify({ child: child.pid })}\n`);
    setInterval(() => {}, 1000);
    return;
  }
  const delay = Number(/\/\/ delay: (\d+)/.exec(text)?.[1] ?? 0);
  setTimeout(() => {
    const image = args.includes('-ptx') ? ptx(kernels) : cubin(fault === 'otherKernel' ? ['other'] : kernels, text);
    writeFileSync(output, fault === 'truncated' ? image.subarray(0, image.length >> 1) : image);
    report(kernels, fault);
    if (log) appendFileSync(log, `${JSON.stringify({ compiled: basename(source), at: Date.now() })}\n`);
  }, delay);
}

function report(kernels, fault) {
  for (const kernel of kernels) {
    const [stack, stores, loads] = fault === 'spill' ? [288, 556, 592] : fault === 'stack' ? [64, 0, 0] : [0, 0, 0];
    if (fault === 'serialised') console.error(`ptxas info    : (C7510) Potential Performance Loss: wgmma.mma_async instructions are serialized in function '${kernel}'`);
    console.error(`ptxas info    : Compiling entry function '${kernel}' for 'sm_80'\nptxas info    : Function properties for ${kernel}`);
    console.error(`    ${stack} bytes stack frame, ${stores} bytes spill stores, ${loads} bytes spill loads`);
    console.error(`ptxas info    : Used 32 registers, used 1 barriers, 1024 bytes smem, 364 bytes cmem[0]\nptxas info    : Compile time = ${Math.random()} ms`);
  }
}

const ptx = (kernels) => Buffer.from(`.version 9.0\n.target sm_90\n${kernels.map((kernel) => `.visible .entry ${kernel}(\n)\n{\nret;\n}\n`).join('')}\n`);

/** A 64-bit ELF file: null section, strings, symbols, code (the source's text). */
function cubin(kernels, text) {
  const strings = Buffer.from(`\0${kernels.join('\0')}\0`, 'latin1');
  const symbols = Buffer.alloc(24 * (kernels.length + 1));
  kernels.forEach((kernel, index) => {
    const at = 24 * (index + 1);
    symbols.writeUInt32LE(strings.indexOf(`\0${kernel}\0`, 0, 'latin1') + 1, at);
    symbols.writeUInt8(0x12, at + 4);
    symbols.writeUInt16LE(3, at + 6);
    symbols.writeBigUInt64LE(16n, at + 16);
  });
  const contents = [[3, strings, 0], [2, symbols, 1], [1, Buffer.from(text), 0]];
  const header = Buffer.alloc(64);
  const table = Buffer.alloc(64 * (contents.length + 1));
  let at = 64;
  contents.forEach(([type, content, link], index) => {
    const entry = 64 * (index + 1);
    table.writeUInt32LE(type, entry + 4);
    table.writeBigUInt64LE(BigInt(at), entry + 24);
    table.writeBigUInt64LE(BigInt(content.length), entry + 32);
    table.writeUInt32LE(link, entry + 40);
    at += content.length;
  });
  header.write('\x7fELF\x02\x01\x01', 'latin1');
  header.writeBigUInt64LE(BigInt(at), 40);
  header.writeUInt16LE(64, 58);
  header.writeUInt16LE(contents.length + 1, 60);
  return Buffer.concat([header, ...contents.map(([, content]) => content), table]);
}
