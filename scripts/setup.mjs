/**
 * Brings a checkout to the state in which everything runs: packages, compiled TypeScript, the native addon. Each step is done when its
 * output is missing or older than its input, so a second run takes a moment. `npm start` and `npm test` begin with it.
 *
 *     node scripts/setup.mjs [packages] [typescript] [native]      all three by default
 *
 * Quiet but on a terminal, and when something fails. Uses Node's own modules only: it runs before anything is installed.
 */
import { spawnSync } from 'node:child_process';
import { accessSync, constants, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { performance } from 'node:perf_hooks';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));
const inRoot = (...parts) => join(root, ...parts);
const onTerminal = process.stderr.isTTY === true;

/** Ends the program with what is wrong and what to do about it. */
function fail(problem, ...advice) {
  process.stderr.write([`setup: ${problem}`, ...advice.map((line) => `    ${line}`), ''].join('\n'));
  process.exit(1);
}

/** Runs a step with a line on the terminal; on failure shows all that the command printed. */
function step(title, command, args, advice) {
  const start = performance.now();
  if (onTerminal) process.stderr.write(`setup: ${title} ...`);
  const result = spawnSync(command, args, { cwd: root, encoding: 'utf8', maxBuffer: 64 << 20, stdio: ['ignore', 'pipe', 'pipe'] });
  if (result.status !== 0) {
    if (onTerminal) process.stderr.write(' failed\n');
    process.stderr.write(`${result.stdout ?? ''}${result.stderr ?? ''}`);
    const reason = result.error ? `: ${result.error.message}` : result.signal ? `: ended by ${result.signal}` : '';
    fail(`${title} failed${reason}`, `the command was: ${[command, ...args].join(' ')}`, ...advice());
  }
  if (onTerminal) process.stderr.write(` ${((performance.now() - start) / 1000).toFixed(1)} s\n`);
}

/** When the newest of `paths` changed, folders looked through, in milliseconds. Folders count too: a file may have been removed. */
function newest(...paths) {
  let latest = 0;
  for (const path of paths) {
    const status = statSync(path, { throwIfNoEntry: false });
    if (status === undefined) continue;
    latest = Math.max(latest, status.mtimeMs);
    if (status.isDirectory()) latest = Math.max(latest, newest(...readdirSync(path).map((name) => join(path, name))));
  }
  return latest;
}

/** Whether `inputs` changed after the last complete run of a step, whose beginning `stamp` remembers. A failed run leaves no stamp. */
function isCurrent(stamp, output, ...inputs) {
  if (!existsSync(output) || !existsSync(stamp)) return false;
  return newest(...inputs) <= Number(readFileSync(stamp, 'utf8'));
}

/** Runs `work` and remembers when it began: what changes meanwhile is newer. */
function stamped(stamp, work) {
  const began = Date.now();
  rmSync(stamp, { force: true });
  work();
  writeFileSync(stamp, `${began}\n`);
}

/** The full path of a program, or undefined. */
function onPath(name) {
  return (process.env.PATH ?? '')
    .split(delimiter)
    .map((folder) => join(folder, name))
    .find((path) => {
      try {
        accessSync(path, constants.X_OK);
        return statSync(path).isFile();
      } catch {
        return false;
      }
    });
}

function checkNode() {
  const [major, minor] = process.versions.node.split('.').map(Number);
  const wanted = /(\d+)\.(\d+)/.exec(JSON.parse(readFileSync(inRoot('package.json'), 'utf8')).engines.node);
  if (major > Number(wanted[1]) || (major === Number(wanted[1]) && minor >= Number(wanted[2]))) return;
  fail(`this is Node ${process.versions.node}; ${wanted[0]} or later is needed`, 'install it from https://nodejs.org or with a version manager: nvm install 20');
}

/** The packages that package-lock.json asks for and node_modules does not hold in that version. */
function missingPackages() {
  const wanted = JSON.parse(readFileSync(inRoot('package-lock.json'), 'utf8')).packages;
  const listing = inRoot('node_modules', '.package-lock.json');
  if (!existsSync(listing)) return Object.keys(wanted);
  const installed = JSON.parse(readFileSync(listing, 'utf8')).packages;
  return Object.entries(wanted)
    .filter(([path, { optional, version }]) => path !== '' && !optional && installed[path]?.version !== version)
    .map(([path]) => path);
}

function installPackages() {
  if (missingPackages().length > 0) installMissing();
  // Packages that were compiled into this checkout find its runtime by name.
  const own = inRoot('node_modules', 'moa-compile');
  if (!existsSync(own)) symlinkSync('..', own, 'dir');
}

function installMissing() {
  const npmScript = process.env.npm_execpath ?? '';
  const [command, ...args] = /npm-cli\.c?js$/.test(npmScript) ? [process.execPath, npmScript] : ['npm'];
  step('installing packages', command, [...args, 'ci', '--include=dev', '--no-audit', '--no-fund'], () => [
    'this step needs the network once, or a filled npm cache;',
    'if package.json and package-lock.json disagree, run npm install and keep both',
  ]);
}

function compileTypeScript() {
  const stamp = inRoot('dist', '.setup');
  if (isCurrent(stamp, inRoot('dist', 'index.js'), inRoot('src'), inRoot('tsconfig.json'), inRoot('node_modules', 'typescript', 'package.json'))) return;
  mkdirSync(inRoot('dist'), { recursive: true });
  stamped(stamp, () => step('compiling TypeScript', process.execPath, [inRoot('node_modules', 'typescript', 'bin', 'tsc'), '-p', 'tsconfig.json'], () => []));
}

const compilerAdvice = ['install g++ 11 or clang++ 14, or later (Debian, Ubuntu: apt install g++; Fedora: dnf install gcc-c++; macOS: xcode-select --install),', 'or name one that is installed: CXX=clang++-18 npm start'];

/** Why the addon cannot be built here, or undefined. */
function nativeProblem() {
  if (process.platform === 'win32') return ['the native addon is built for Linux and macOS; on Windows use WSL'];
  if (onPath('cmake') === undefined) return ['CMake was not found on PATH', 'install CMake 3.20 or later (Debian, Ubuntu: apt install cmake; Fedora: dnf install cmake; macOS: brew install cmake)'];
  if (onPath('make') === undefined && onPath('ninja') === undefined) return ['neither make nor ninja was found on PATH', 'install one (Debian, Ubuntu: apt install make; Fedora: dnf install make)'];
  const chosen = (process.env.CXX ?? '').split(/\s+/).filter((word) => word !== '');
  const compilers = chosen.length > 0 ? [chosen] : ['c++', 'g++', 'clang++'].filter((name) => onPath(name) !== undefined).map((name) => [name]);
  if (compilers.length === 0) return ['no C++ compiler was found on PATH', ...compilerAdvice];
  const folder = mkdtempSync(join(tmpdir(), 'moa-setup-'));
  try {
    const probe = join(folder, 'probe.cpp');
    writeFileSync(probe, '#include <source_location>\n#include <span>\nint main() { return std::span<int>().size() + std::source_location::current().line() == 0; }\n');
    const works = compilers.some(([name, ...args]) => spawnSync(name, [...args, '-std=c++20', '-fsyntax-only', probe]).status === 0);
    return works ? undefined : [`${compilers.map((words) => words.join(' ')).join(', ')}: no C++20 compiler`, ...compilerAdvice];
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

function buildNative() {
  const stamp = inRoot('build', '.setup');
  const addon = inRoot('build', 'Release', 'moa.node');
  // Of the emulator only abi.h goes into the addon; its headers are compiled with each kernel.
  const inputs = [inRoot('native', 'addon'), inRoot('native', 'CMakeLists.txt'), inRoot('native', 'package.json'), inRoot('native', 'emulator', 'abi.h')];
  if (isCurrent(stamp, addon, ...inputs)) return;
  const problem = nativeProblem();
  if (problem !== undefined) fail(...problem);
  mkdirSync(inRoot('build'), { recursive: true });
  // A configuration that names the folder of another checkout, as in a copied one, would build that.
  const cache = inRoot('build', 'CMakeCache.txt');
  if (existsSync(cache) && !readFileSync(cache, 'utf8').includes(`CMAKE_HOME_DIRECTORY:INTERNAL=${inRoot('native')}\n`)) rmSync(inRoot('build'), { recursive: true });
  mkdirSync(inRoot('build'), { recursive: true });
  stamped(stamp, () =>
    step('building the native addon', process.execPath, [inRoot('node_modules', 'cmake-js', 'bin', 'cmake-js'), 'compile', '-d', 'native', '-O', 'build'], () => ['if CMake kept something old, remove the folder build and try again']),
  );
}

const steps = { packages: installPackages, typescript: compileTypeScript, native: buildNative };
const asked = process.argv.slice(2);
const unknown = asked.filter((name) => !Object.hasOwn(steps, name));
if (unknown.length > 0) fail(`there is no step ${unknown.join(', ')}`, `steps are ${Object.keys(steps).join(', ')}`);
checkNode();
for (const name of asked.length > 0 ? asked : Object.keys(steps)) steps[name]();
