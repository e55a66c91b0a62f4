;; Opens streams (s) or pollables (p) of the host without end, and keeps them all.
;;@frame event
;;@use imports/streams
;;@local
(local $stream i32)
;;@handle
(local.set $stream (call $get_stdout))
(loop $more
  (if (i32.eq (call $letter (local.get $event)) (i32.const 0x73))
    (then (drop (call $get_stdout)))
    (else (drop (call $subscribe (local.get $stream)))))
  (br $more))
