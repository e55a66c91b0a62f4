;; A module of the RusToK platform that publishes without end.
;;@frame module
;;@core
(data (i32.const 1024) "platform.events")
(data (i32.const 1039) "publish")
(data (i32.const 1046) "{\"topic\":\"a\"}")
;;@run
(loop $more
  (call $invoke
    (i32.const 1024) (i32.const 15) (i32.const 1039) (i32.const 7) (i32.const 1046) (i32.const 13) (i32.const 3072))
  (br $more))
