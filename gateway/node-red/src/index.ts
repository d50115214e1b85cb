export { runSiteView, setSiteViewPassword } from './run.ts'
