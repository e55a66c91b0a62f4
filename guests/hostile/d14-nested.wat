;; Has components in components, ten levels deep.
;;@frame event
;;@import
(component (component (component (component (component (component (component (component (component (component))))))))))
