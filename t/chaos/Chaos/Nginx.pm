# One nginx in front of both hosts, from the files that are installed: a public server for each host, and one that spreads
# its requests over both; and for each host the loopback server.
package Chaos::Nginx;

use strict;
use warnings;

use Carp qw(croak);
use Chaos::Process;
use Fcntl qw(LOCK_EX);
use File::Path qw(make_path);
use IO::Socket::INET;
use Time::HiRes qw(sleep time);

# hosts: [name, run_dir] ..
sub start {
    my ($class, $folder, $source, $stack, @hosts) = @_;
    my $self = bless { folder => $folder, source => $source, stack => $stack }, $class;
    # t/stack chooses its ports under the same lock: nginx would share one that another nginx has.
    open my $lock, '<', '/tmp' or croak "/tmp: $!";
    flock $lock, LOCK_EX or croak "/tmp: $!";
    $self->_configure(@hosts);
    my ($command) = grep { -x } (map { "$_/nginx" } split /:/, $ENV{PATH}), '/usr/sbin/nginx';
    $self->{process} = Chaos::Process->start(
        command => [ $command, '-p', $folder, '-e', "$folder/error.log", '-c', "$folder/nginx.conf" ],
        log => "$folder/output.log",
    );
    my $deadline = time + 10;
    until (IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $self->{ports}[0])) {
        croak 'nginx does not start: ' . _read("$folder/error.log") if time > $deadline || !$self->{process}->runs;
        sleep 0.02;
    }
    return $self;
}

sub stop { return $_[0]{process}->stop }
sub ports { return @{ $_[0]{ports} } }
sub internal_ports { return @{ $_[0]{internal_ports} } }

# So many ports that differ.
sub _free_ports {
    my ($count) = @_;
    my %free;
    for (1 .. 200) {
        my $port = 20000 + int rand 12000;
        $free{$port} = 1 unless IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $port);
        return keys %free if keys %free == $count;
    }
    croak 'no free ports';
}

sub _read {
    my ($file) = @_;
    open my $in, '<', $file or croak "$file: $!";
    local $/ = undef;
    return scalar <$in>;
}

sub _write {
    my ($file, $text) = @_;
    open my $out, '>', $file or croak "$file: $!";
    print {$out} $text;
    close $out or croak "$file: $!";
    return;
}

sub _configure {
    my ($self, @hosts) = @_;
    my $nginx = "$self->{source}/nginx";
    my $user = $> == 0 ? 'user root;' : '';
    my @sites = (@hosts, [ 'both', map { $_->[1] } @hosts ]);
    make_path("$self->{folder}/tmp");
    _write("$self->{folder}/nginx.conf", _read("$nginx/stack.conf.in") =~ s/\@USER_LINE\@/$user/r =~ s/\@NOFILE\@/8192/r =~ s/\@WORKER_CONNECTIONS\@/4096/r);
    my $http = _read("$nginx/http.conf.in");
    my ($before, $upstreams, $after) = $http =~ /^(.*?)(^upstream .*^\}\n)(\n.*)$/ms or croak 'http.conf.in has no upstreams';
    _write("$self->{folder}/http.conf", $before . join('', map { _upstreams($upstreams, @$_) } @sites) . $after);
    $self->{free_ports} = [ _free_ports(3 * @sites) ];
    _write("$self->{folder}/site.conf", join '', map { $self->_site(@$_) } @sites);
    return;
}

# The lanes of one host, or of several, under names of their own.
sub _upstreams {
    my ($text, $name, @run_dirs) = @_;
    $text =~ s/^upstream (\w+) \{/upstream $1_$name {/mg;
    $text =~ s{^((\t*server "unix:)\@RUN_DIR\@(/[^\n]*\n))(\1)?}{join '', map { "$2$_$3" x (defined $4 && @run_dirs == 1 ? 2 : 1) } @run_dirs}meg;
    return $text;
}

# The public server, and for a host of its own the loopback server.
sub _site {
    my ($self, $name, @run_dirs) = @_;
    my @servers = _read("$self->{source}/nginx/stack-site.conf.in") =~ /^(server \{.*?^\}\n)/msg;
    my $tls = $self->{stack}{BATTLEPASS_DIR} . '/tls';
    $self->_snippets($name);
    my ($port, $tls_port, $internal) = splice @{ $self->{free_ports} }, 0, 3;
    push @{ $self->{ports} }, $port;
    push @{ $self->{internal_ports} }, $internal if @run_dirs == 1;
    my $text = join "\n", @servers[ 0 .. (@run_dirs == 1 ? 1 : 0) ];
    my %values = (
        HTTP_LISTEN => "127.0.0.1:$port", TLS_LISTEN => "127.0.0.1:$tls_port", METRICS_LISTEN => "127.0.0.1:$internal",
        TLS_CERTIFICATE => "$tls/server.crt", TLS_KEY => "$tls/server.key",
    );
    $text =~ s/\@(\w+)\@/$values{$1}/g;
    return _in_folder($text, $name);
}

sub _in_folder {
    my ($text, $name) = @_;
    return $text =~ s{snippets/battlepass/}{snippets/$name/}gr;
}

sub _snippets {
    my ($self, $name) = @_;
    make_path("$self->{folder}/snippets/$name");
    for my $file (glob "$self->{source}/nginx/snippets/*.conf") {
        my ($base) = $file =~ m{([^/]+)$};
        my $text = _read($file) =~ s/^(fastcgi_pass \w+);/$1_$name;/mgr;
        _write("$self->{folder}/snippets/$name/$base", _in_folder($text, $name));
    }
    return;
}

1;
