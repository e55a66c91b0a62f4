;; Writes to standard error, reads the clock and asks for the environment at every depth of a recursion.
;;@frame event
;;@use imports/streams
;;@use imports/clock
;;@use imports/process
;;@core
(func $deeper (param $stream i32) (result i32)
  (call $write (local.get $stream) (i32.const 1024) (i32.const 64) (i32.const 3072))
  (drop (call $now))
  (call $environment (i32.const 3072))
  (i32.add (call $deeper (local.get $stream)) (i32.const 1)))
;;@handle
(drop (call $deeper (call $get_stderr)))
