import { Command } from 'commander'
