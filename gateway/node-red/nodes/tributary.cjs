// Node-RED loads this file with require; what the nodes do stands in src/nodes.ts.
module.exports = (red) => red.settings.tributary.register(red)
