;; Writes nothing to standard output, without end.
;;@frame event
;;@use imports/streams
;;@local
(local $stream i32)
;;@handle
(local.set $stream (call $get_stdout))
(loop $more
  (call $write (local.get $stream) (i32.const 4096) (i32.const 0) (i32.const 3072))
  (br $more))
