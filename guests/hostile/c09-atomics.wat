;; Uses instructions for threads.
;;@frame event
;;@handle
(drop (i32.atomic.rmw.add (i32.const 4096) (i32.const 1)))
