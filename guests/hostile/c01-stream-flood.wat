;; Writes short lines to standard output without end.
;;@frame event
;;@use imports/streams
;;@core
(data (i32.const 1024) "a\0ab\0ac\0a")
;;@local
(local $stream i32)
;;@handle
(local.set $stream (call $get_stdout))
(loop $more
  (call $write (local.get $stream) (i32.const 1024) (i32.const 6) (i32.const 3072))
  (br $more))
