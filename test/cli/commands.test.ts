import { cpSync, existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { hasRelaxedSimd } from '../../src/targets/wasm/relaxedSimd.ts';
import { decodeSafetensors, encodeSafetensors } from '../../src/train/safetensors.ts';
import { sparchc, workspace } from './support.ts';

let cwd: string;
let spec: string;
let trained: Awaited<ReturnType<typeof sparchc>>;
beforeAll(async () => {
  ({ cwd, spec } = workspace());
  trained = await sparchc(['train', spec, '--target', 'tfjs/cpu'], cwd);
});
afterAll(() => rmSync(cwd, { recursive: true, force: true }));

const run = (...args: string[]) => sparchc(args, cwd);

describe('the command line itself', () => {
  it('explains itself with examples', async () => {
    const { code, stdout } = await run('--help');
    expect(code).toBe(0);
    for (const name of ['train', 'eval', 'export', 'check', 'emit', 'init', 'doctor']) expect(stdout).toContain(name);
    expect(stdout).toContain('Examples:');
    const help = await run('train', '--help');
    expect(help).toMatchObject({ code: 0, stderr: '' });
    expect(help.stdout).toContain('sparchc train specs/quickstart.yaml');
  });

  it('says its version', async () => {
    const { version } = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8'));
    expect(await run('--version')).toEqual({ code: 0, stdout: `${version}\n`, stderr: '' });
  });

  it.each([
    [['trian', 'x'], /unknown command 'trian'\n\(Did you mean train\?\)/],
    [['train', 'x', '--resum'], /unknown option '--resum'\n\(Did you mean --resume\?\)/],
    [['eval', 'x', '--split', 'dev'], /Allowed choices are train, validation, test/],
  ])('exits with 2 at %j', async (args, message) => {
    const { code, stdout, stderr } = await run(...args);
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
    expect(stderr).toMatch(message);
    expect(stderr).not.toContain('    at ');
  });

  it('shows its help where no command is given, and exits with 2', async () => {
    const { code, stderr } = await run();
    expect(code).toBe(2);
    expect(stderr).toContain('Usage: sparchc');
  });
});

describe('train', () => {
  const result = () => JSON.parse(readFileSync(join(cwd, 'runs/tiny/result.json'), 'utf8'));

  it('leaves a run folder and says what to do next', () => {
    expect(trained.code, trained.stderr).toBe(0);
    expect(trained.stderr).toBe('');
    expect(trained.stdout).toMatch(
      /^training {2}tiny, 225 parameters, 3 epochs\ndata {6}96 training, 24 validation, 30 test/,
    );
    expect(trained.stdout).toMatch(/ 3\/3 +\d\.\d{4} +\d+\.\d%/);
    expect(trained.stdout).toContain('sparchc eval runs/tiny\n');
    for (const file of ['spec.resolved.yaml', 'metrics.jsonl', 'model.onnx', 'checkpoints/best.safetensors']) {
      expect(existsSync(join(cwd, 'runs/tiny', file)), file).toBe(true);
    }
    expect(result()).toMatchObject({ epochs: 3, parameters: 225, target: 'tfjs/cpu', seed: 1 });
    expect(result().spec_sha256).toMatch(/^[0-9a-f]{64}$/);
    expect(result().versions).toMatchObject({ node: process.versions.node });
  });

  it('gives the same weights and metrics a second time; --json prints the result and nothing else', async () => {
    const { code, stdout } = await run('train', spec, '--target', 'tfjs/cpu', '--out', 'second', '--json');
    expect(code).toBe(0);
    expect({ ...JSON.parse(stdout), seconds: 0 }).toEqual({ ...result(), seconds: 0, run: 'second' });
    const weights = (run: string) => readFileSync(join(cwd, run, 'model.onnx'));
    expect(weights('second').equals(weights('runs/tiny'))).toBe(true);
  });

  it('on wasm-relaxed fuses multiply-adds where the engine can, and refuses where it cannot', async () => {
    const { code, stdout, stderr } = await run('train', spec, '--target', 'wasm-relaxed', '--out', 'relaxed', '--json');
    expect(code, stderr).toBe(hasRelaxedSimd() ? 0 : 2);
    if (code === 0) expect(JSON.parse(stdout)).toMatchObject({ target: 'wasm-relaxed', relaxed_simd: true });
    else expect(stderr).toMatch(/^error SP608: .* has no relaxed SIMD; use Node 22 or later, or the target "wasm"/);
  });

  it('refuses a folder that is there already', async () => {
    const { code, stderr } = await run('train', spec);
    expect(code).toBe(2);
    expect(stderr).toBe(
      'error SP821: "runs/tiny" exists already; go on with that run with --resume, or choose another folder with --out\n',
    );
  });

  it('refuses to resume a run with another spec', async () => {
    const { code, stderr } = await run('train', spec, '--resume', '--set', 'train.batch=8');
    expect(code).toBe(2);
    expect(stderr).toMatch(/^error SP823: .*train\.batch was 16 and is 8; resume with the spec it had/);
  });

  it('goes on with a finished run where epochs are added', async () => {
    const { code, stdout } = await run(
      'train',
      spec,
      '--out',
      'second',
      '--resume',
      '--set',
      'train.epochs=4',
      '--json',
    );
    expect(code).toBe(0);
    expect(JSON.parse(stdout)).toMatchObject({ epochs: 4, target: 'tfjs/cpu' });
    expect(readFileSync(join(cwd, 'second/metrics.jsonl'), 'utf8').trim().split('\n')).toHaveLength(4);
  });

  it('with --quiet prints nothing', async () => {
    const quiet = await run(
      'train',
      spec,
      '--target',
      'tfjs/cpu',
      '--out',
      'quiet',
      '--set',
      'train.epochs=1',
      '--quiet',
    );
    expect(quiet).toEqual({ code: 0, stdout: '', stderr: '' });
  });

  it('with --log writes to a file what it would show, and shows warnings and errors, too', async () => {
    const logged = (...args: string[]) => run('train', spec, '--target', 'tfjs/cpu', '--log', 'train.log', ...args);
    const log = () => readFileSync(join(cwd, 'train.log'), 'utf8');
    const sets = ['--set', 'train.epochs=2', '--set', 'train.select=last', '--set', 'data.validation=test'];
    const { code, stdout, stderr } = await logged('--out', 'logged', ...sets);
    expect({ code, stdout }).toEqual({ code: 0, stdout: '' });
    expect(stderr).toMatch(/^warning: validation: test selects .*\n$/);
    expect(log()).toMatch(/^warning: validation: test.*training {2}tiny.* 2\/2 .*the weights of epoch 2 .*\n$/s);

    const before = log();
    const failed = await logged('--out', 'diverged', '--set', 'train.optimizer.lr=1e30');
    expect(failed.code).toBe(1);
    expect(failed.stderr).toMatch(/^error SP801/);
    expect(log().startsWith(before)).toBe(true);
    expect(log().endsWith(failed.stderr)).toBe(true);

    const unwritable = await run('train', spec, '--log', 'missing/train.log');
    expect(unwritable).toEqual({
      code: 2,
      stdout: '',
      stderr: 'error SP811: cannot write the log "missing/train.log" (ENOENT); name another file\n',
    });
  });

  it('says in one sentence that a folder cannot be written', async () => {
    const { code, stderr } = await run('train', spec, '--out', `${spec}/run`);
    expect(code).toBe(2);
    expect(stderr).toMatch(/^error SP820: "tiny\.yaml\/run" is not a folder that can be read\n$/);
  });

  it('says that there is no such spec', async () => {
    const { code, stderr } = await run('train', 'missing.yaml');
    expect(code).toBe(2);
    expect(stderr).toMatch(/^error SP\d{3}: .*missing\.yaml/);
    expect(stderr).not.toContain('    at ');
  });

  it('finishes also where nobody reads its output', async () => {
    const { spawnSync } = await import('node:child_process');
    const main = new URL('../../dist/cli/main.js', import.meta.url).pathname;
    const script = `"$0" "$1" train ${spec} --target tfjs/cpu --out piped | true; echo \${PIPESTATUS[0]}`;
    const { stdout, stderr } = spawnSync('bash', ['-c', script, process.execPath, main], { cwd, encoding: 'utf8' });
    expect({ stdout, stderr }).toEqual({ stdout: '0\n', stderr: '' });
    expect(existsSync(join(cwd, 'piped/result.json'))).toBe(true);
  });
});

describe('eval', () => {
  const evaluated = async (...args: string[]) => {
    const { code, stdout, stderr } = await run('eval', ...args, '--json');
    expect(code, stderr).toBe(0);
    return JSON.parse(stdout);
  };
  const result = () => JSON.parse(readFileSync(join(cwd, 'runs/tiny/result.json'), 'utf8'));

  it('of a run gives the accuracy that training reported', async () => {
    const { accuracy, loss, samples, firing_rates } = await evaluated('runs/tiny');
    expect({ accuracy, loss, samples }).toEqual({
      accuracy: result().test_accuracy,
      loss: result().test_loss,
      samples: 30,
    });
    expect(Object.keys(firing_rates)).toHaveLength(1);
    expect((await evaluated('runs/tiny', '--split', 'validation')).accuracy).toBe(result().valid_accuracy);
  });

  it('of the exported model agrees', async () => {
    const run = await evaluated('runs/tiny');
    const model = await evaluated('runs/tiny/model.onnx');
    expect(model.accuracy).toBe(run.accuracy);
    expect(model.loss).toBeCloseTo(run.loss, 4);
    expect(Object.keys(model.firing_rates)).toEqual(Object.keys(run.firing_rates));
  });

  it('of a run on wasm-relaxed needs no relaxed SIMD', async () => {
    cpSync(join(cwd, 'runs/tiny'), join(cwd, 'runs/relaxed'), { recursive: true });
    const path = join(cwd, 'runs/relaxed/checkpoints/best.safetensors');
    const { tensors, metadata } = decodeSafetensors(readFileSync(path), path);
    const info = JSON.stringify({ ...JSON.parse(metadata.sparchc), target: 'wasm-relaxed' });
    writeFileSync(path, Buffer.concat(encodeSafetensors({ tensors, metadata: { ...metadata, sparchc: info } })));
    expect(await evaluated('runs/relaxed')).toEqual(await evaluated('runs/tiny', '--target', 'wasm'));
  });

  it('of a model elsewhere needs a spec', async () => {
    writeFileSync(join(cwd, 'copy.onnx'), readFileSync(join(cwd, 'runs/tiny/model.onnx')));
    const { code, stderr } = await run('eval', 'copy.onnx');
    expect(code).toBe(2);
    expect(stderr).toMatch(/^error SP831: .*name one with --spec/);
    expect((await evaluated('copy.onnx', '--spec', spec)).samples).toBe(30);
  });

  it('prints a sentence for people', async () => {
    const { stdout } = await run('eval', 'runs/tiny');
    expect(stdout).toMatch(/^test accuracy \d+\.\d%, loss \d\.\d{4}, 30 samples\nfiring rates \S+ \d+\.\d%\n\ncost /);
    expect(stdout).toMatch(/\nsynaptic operations, dense +1,680\n/);
  });

  it('tells what the network costs, or only what a file tells, or nothing on request', async () => {
    const run = await evaluated('runs/tiny');
    expect(run.cost).toMatchObject({
      footprint_bytes: 4 * (80 + 64 + 24 + 8 * 4 + 3 + 4 * (8 + 3) + 3 * 8 + 3),
      synaptic_operations: { dense: 10 * (10 * 8 + 8 * 8 + 8 * 3) },
      membrane_updates: 10 * (8 + 3),
    });
    expect(run.cost.activation_sparsity_by_layer.radlif).toBeCloseTo(1 - run.firing_rates.radlif, 6);
    const { cost } = await evaluated('runs/tiny/model.onnx');
    expect(cost).toMatchObject({ connection_sparsity: null, synaptic_operations: null, membrane_updates: null });
    expect(cost.activation_sparsity_by_layer.radlif).toBeCloseTo(run.cost.activation_sparsity_by_layer.radlif, 6);
    expect(await evaluated('runs/tiny', '--no-cost')).not.toHaveProperty('cost');
  });

  it.each([
    ['nothing here', 'nothing', /^error SP830: there is no run folder or model "nothing"/],
    ['a folder without a run', '.', /^error SP832: "\." is not a run folder/],
  ])('refuses %s', async (_, path, message) => {
    const { code, stderr } = await run('eval', path);
    expect(code).toBe(2);
    expect(stderr).toMatch(message);
  });

  it('reports a damaged checkpoint', async () => {
    const path = join(cwd, 'quiet/checkpoints/best.safetensors');
    writeFileSync(path, readFileSync(path).subarray(0, 200));
    const { code, stderr } = await run('eval', 'quiet');
    expect(code).toBe(1);
    expect(stderr).toMatch(/^error SP810: "quiet\/checkpoints\/best.safetensors" is not a usable safetensors file/);
  });
});

describe('check', () => {
  it('shows the resolved spec, the layers and the number of parameters', async () => {
    const { code, stdout, stderr } = await run('check', spec);
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    expect(stdout).toContain(readFileSync(join(cwd, 'runs/tiny/spec.resolved.yaml'), 'utf8').trimEnd());
    expect(stdout).toMatch(/RadLIF +batch x time x 8 +\d+\n/);
    expect(stdout).toContain('225 trainable parameters');
    expect(stdout).toMatch(/memory of a training step on the target wasm, \d+ samples of \d+ time steps\n/);
    expect(stdout).toMatch(/\ntotal +\d+\.\d\n$/);
  });

  it('says what a batch too large for the memory would come to', async () => {
    const huge = ['--set', 'train.batch=2000000'];
    const { stdout } = await run('check', spec, ...huge);
    expect(stdout).toMatch(
      /That is more than the \d\.\d GiB there are: training will refuse, because batchnorm .*; a batch of \d+ fits/,
    );
    const unnormalised = ['--set', 'model.layers.radlif.norm=none', '--set', 'model.layers.li.norm=none'];
    const { stdout: parts } = await run('check', spec, ...huge, ...unnormalised);
    expect(parts).toMatch(/steps will be computed in \d+ parts with summed gradients/);
  });

  it('with --json gives one document', async () => {
    const { stdout } = await run('check', spec, '--json');
    const { name, parameters, layers, memory } = JSON.parse(stdout);
    expect({ name, parameters }).toEqual({ name: 'tiny', parameters: 225 });
    const { kept, total, ...others } = memory.bytes;
    const sum = [...Object.values<number>(others), ...Object.values<number>(kept)].reduce((a, b) => a + b);
    expect(sum).toBe(total);
    expect(layers.reduce((sum: number, l: { parameters: number }) => sum + l.parameters, 0)).toBe(225);
  });

  it.each([
    ['nowhere.yaml', 'there is no spec file "nowhere.yaml"'],
    ['.', '"." is a folder'],
  ])('says why %s is no spec', async (path, why) => {
    const message = `error SP800: ${why}; give the path of a .yaml file\n`;
    expect(await run('check', path)).toEqual({ code: 2, stdout: '', stderr: message });
  });

  it('reports several mistakes at once and exits with 2', async () => {
    writeFileSync(
      join(cwd, 'wrong.yaml'),
      readFileSync(join(cwd, spec), 'utf8').replace('seed', 'sead').replace('epochs', 'epoch'),
    );
    const { code, stdout, stderr } = await run('check', 'wrong.yaml');
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
    expect(stderr.match(/^error SP2\d\d: /gm)).toHaveLength(2);
    expect(stderr).toContain('did you mean "epochs"?');
  });
});

describe('init', () => {
  it('writes a spec that is valid, and never over another', async () => {
    expect(await run('init', 'first.yaml')).toMatchObject({ code: 0, stderr: '' });
    expect(await run('check', 'first.yaml', '--quiet')).toEqual({ code: 0, stdout: '', stderr: '' });
    const again = await run('init', 'first.yaml');
    expect(again).toMatchObject({ code: 2, stderr: 'error SP833: "first.yaml" exists already; name another file\n' });
  });
});

describe('doctor', () => {
  it('shows versions and every target, working or not', async () => {
    const { code, stdout } = await run('doctor', '--json');
    expect(code).toBe(0);
    const { versions, targets } = JSON.parse(stdout);
    expect(versions.node).toBe(process.versions.node);
    const byName = Object.fromEntries(targets.map((t: { target: string }) => [t.target, t]));
    expect(byName['tfjs/cpu'].works).toBe(true);
    expect(byName['tfjs/wasm'].works).toBe(true);
  });
});
