// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

import Glibc

exit(Townsim.run(CommandLine.arguments))
