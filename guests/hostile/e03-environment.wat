;; Looks for environment variables, arguments and a directory, and traps when it finds any.
;;@frame event
;;@use imports/process
;;@handle
(call $environment (i32.const 3072))
(if (i32.load (i32.const 3076)) (then unreachable))
(call $arguments (i32.const 3072))
(if (i32.load (i32.const 3076)) (then unreachable))
(call $directory (i32.const 3072))
(if (i32.load8_u (i32.const 3072)) (then unreachable))
