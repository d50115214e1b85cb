import { readFileSync, writeFileSync, mkdtempSync } from 'node:fs'
import { spawn } from 'node:child_process'
import mqtt from 'mqtt'
import { buildAgent } from '../edge-agent/build.ts'
import { openCable, startBroker, startGateway } from '../edge-agent/src/testing.ts'
const dir = mkdtempSync('/tmp/ea/r-')
const bundle = await buildAgent(dir + '/b')
const secs = Number(process.argv[2] ?? 30)
const variants: [string[], Record<string,string>][] = JSON.parse(process.argv[3]!)
await Promise.all(variants.map(async ([flags, env], v) => {
const gw = await startGateway(); const br = await startBroker(); const cable = openCable()
writeFileSync(dir+`/a${v}.yaml`, `
agent: pi-1
spool: { folder: ${dir}/spool${v}, budget: 64MiB }
gateway: { url: mqtt://127.0.0.1:${gw.port} }
admin: { listen: 127.0.0.1:0 }
inputs:
  - { name: w, type: mqtt, url: mqtt://127.0.0.1:${br.port}, topics: [{pattern: 'sensors/{device}/sample', kind: climate}] }
  - { name: host, type: host, interval: 1s }
  - { name: pump, type: serial, path: ${cable.path}, framing: {type: json-lines}, device: p, kind: vibration, acknowledge: true }
`)
const a = spawn(process.execPath, ['--max-semi-space-size=1', ...flags, bundle, '--config', dir+`/a${v}.yaml`], {stdio: ['ignore','inherit','ignore'], env: {...process.env, ...env}})
const stat = (k: string) => Number(/(\d+)/.exec(new RegExp(k+':.*').exec(readFileSync(`/proc/${a.pid}/status`,'utf8'))![0])![1])/1024
const cpu = () => { const f = readFileSync(`/proc/${a.pid}/stat`,'utf8').split(' '); return (Number(f[13])+Number(f[14]))*10 }
await new Promise(r=>setTimeout(r,2500))
const idle = stat('VmRSS')
const c = await mqtt.connectAsync(`mqtt://127.0.0.1:${br.port}`)
let n=0; const c0=cpu(), t0=Date.now()
const timer = setInterval(()=>{ for (let i=0;i<5;i++){ n++; const row:any={sequence:n,time_ms:Date.now()}; for(let j=0;j<9;j++) row['f'+j]=Math.round(Math.random()*1e4)/100; const s=JSON.stringify(row); if(n%2) c.publish('sensors/d1/sample', s,{qos:1}); else cable.write(s+'\n'); cable.received() } }, 50)
const trace: string[] = []
for (let i=0;i<secs/10;i++){ await new Promise(r=>setTimeout(r,10000)); trace.push(stat('VmRSS').toFixed(1)) }
clearInterval(timer); await new Promise(r=>setTimeout(r,1500))
let readings=0; for (const b of gw.batches) readings+=b.header.readingCount
console.log(JSON.stringify(flags), JSON.stringify(env), 'idle', idle.toFixed(1), trace.join(' '), 'peak', stat('VmHWM').toFixed(1), 'anon', stat('RssAnon').toFixed(1),'file', stat('RssFile').toFixed(1), 'cpu %', ((cpu()-c0)/(Date.now()-t0)*100).toFixed(1),'n',n,'readings',readings)
a.kill('SIGTERM')
await new Promise(r=>a.once('exit', r))
}))
process.exit()
