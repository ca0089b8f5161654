/** Starts what the page in front of us has; each part looks for its own root and leaves if it is not there. */

import { Live } from './live/live.js'
import { showConnection } from './live/indicator.js'
import { startCopyButtons } from './ui/copy.js'
import { startThemeSwitch } from './ui/theme.js'
import { startTimes } from './ui/times.js'
import { startFilters } from './views/filters.js'
import { startJob } from './views/job.js'
import { startJobs } from './views/jobs.js'
import { startSubmit } from './views/submit.js'
import { startSummary } from './views/summary.js'
import { startWorkers } from './views/workers.js'

const live = new Live()

startTimes()
startThemeSwitch()
startCopyButtons()
startFilters()
showConnection(live)
for (const start of [startSummary, startJobs, startWorkers, startSubmit, startJob]) start(live)
live.open()
