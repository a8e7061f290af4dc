# An nginx of a test's own, from the files that a production host gets: in a scratch folder, on loopback ports, with nothing of
# the machine's. What has to be another thing here than there is put in by a table: each row must be found, so that a file that
# has changed is noticed.
#
#     my $site = Battlepass::Site->new(
#         files => { 'http.conf' => "$build/nginx/http.conf", 'site.conf' => "$build/nginx/site.conf" },
#         changes => [ [ 'site.conf', qr/listen 443 /, "listen 127.0.0.1:$port " ], .. ],
#     );
#     my ($status, $said) = $site->check;       # nginx -t
#     $site->start;
package Battlepass::Site;

use strict;
use warnings;

use Carp qw(croak);
use Cwd qw(abs_path);
use File::Basename qw(basename dirname);
use File::Path qw(make_path);
use File::Temp qw(tempdir);
use IO::Socket::INET;
use POSIX qw(WNOHANG);
use Time::HiRes qw(sleep time);

my $source = $ENV{TEST_SRCDIR} // abs_path(dirname(__FILE__) . '/../../..');
my ($command) = grep { -x } (map { "$_/nginx" } split /:/, $ENV{PATH}), '/usr/sbin/nginx';
my %running; # pid => 1
my $main_pid = $$;

# files: name in the folder => where it is. The snippets of the source come along, and a private stack's nginx.conf, unless
# there is one in files. changes: [name, what stands there, what shall].
sub new {
    my ($class, %options) = @_;
    my $folder = tempdir('battlepass-site-XXXXXX', TMPDIR => 1, CLEANUP => 1);
    my $self = bless { folder => $folder }, $class;
    make_path("$folder/tmp");
    my %files = ('nginx.conf' => "$source/nginx/stack.conf.in", %{ $options{files} });
    $files{ 'snippets/battlepass/' . basename($_) } = $_ for glob "$source/nginx/snippets/*.conf";
    my %text = map { $_ => slurp($files{$_}) } keys %files;
    my $user = $> == 0 ? 'user root;' : '';
    my %main = (USER_LINE => $user, NOFILE => 2048, WORKER_CONNECTIONS => 1024);
    $text{'nginx.conf'} =~ s/\@(\w+)\@/$main{$1} \/\/ croak "nginx.conf: \@$1\@"/ge;
    for my $change (@{ $options{changes} // [] }) {
        my ($name, $before, $after) = @$change;
        $text{$name} =~ s/$before/$after/g or croak "$name has no $before";
    }
    $self->write($_, $text{$_}) for keys %text;
    return $self;
}

sub folder { return $_[0]{folder} }

sub write {
    my ($self, $name, $text) = @_;
    make_path(dirname("$self->{folder}/$name"));
    open my $out, '>', "$self->{folder}/$name" or croak "$name: $!";
    print {$out} $text;
    close $out or croak "$name: $!";
    return;
}

sub slurp {
    my ($file) = @_;
    open my $in, '<', $file or croak "$file: $!";
    local $/ = undef;
    return scalar <$in>;
}

sub log { return slurp("$_[0]{folder}/error.log") }
# What a log of the test's own has.
sub seen { return slurp("$_[0]{folder}/seen.log") }

sub _arguments {
    my ($self) = @_;
    return ('-p', $self->{folder}, '-e', "$self->{folder}/error.log", '-c', "$self->{folder}/nginx.conf");
}

# nginx -t: exit status, and whatever it says.
sub check {
    my ($self) = @_;
    my @arguments = $self->_arguments;
    my $pid = open(my $out, '-|') // croak "fork: $!";
    if ($pid == 0) {
        open STDERR, '>&', \*STDOUT;
        exec $command, '-t', @arguments or POSIX::_exit(127);
    }
    my $said = do { local $/ = undef; <$out> };
    close $out;
    return ($? >> 8, $said);
}

# With a port that shall answer then.
sub start {
    my ($self, $port) = @_;
    my $pid = $self->{pid} = launch("$self->{folder}/output.log", $command, $self->_arguments);
    my $deadline = time + 20;
    until (IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $port)) {
        if (time > $deadline || waitpid($pid, WNOHANG) == $pid) {
            delete $running{$pid};
            kill 'TERM', $pid;
            croak "nginx does not start:\n" . $self->log;
        }
        sleep 0.02;
    }
    return $self;
}

sub stop {
    my ($self) = @_;
    end(delete $self->{pid}) if $self->{pid};
    return;
}

# --- what tests need besides ---

# A process that says what it has to say to a file, and does not outlive the test.
sub launch {
    my ($log, @command) = @_;
    my $pid = fork // croak "fork: $!";
    if ($pid == 0) {
        open STDOUT, '>', $log;
        open STDERR, '>&', \*STDOUT;
        exec @command or POSIX::_exit(127);
    }
    $running{$pid} = 1;
    return $pid;
}

sub end {
    my ($pid) = @_;
    delete $running{$pid};
    kill 'TERM', $pid;
    waitpid $pid, 0;
    return;
}

# A child that a test forked ends without stopping its parent's nginx.
END {
    if ($$ == $main_pid) {
        my $status = $?;
        end($_) for keys %running;
        $? = $status;
    }
}

# Ports that nobody listens on, from a range of their own: nginx would share one with a private stack that chooses meanwhile.
sub free_ports {
    my ($count) = @_;
    my %ports;
    while (keys %ports < $count) {
        my $port = 14000 + int rand 6000;
        $ports{$port} = 1 unless IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $port);
    }
    return keys %ports;
}

# A certificate: { key, certificate } in the folder. options: of openssl.
sub certificate {
    my ($folder, $name, @options) = @_;
    my ($key, $certificate) = map { "$folder/$name.$_" } qw(key crt);
    my $pid = launch("$folder/openssl.log", qw(openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2),
        '-subj', "/CN=$name", '-keyout', $key, '-out', $certificate, @options);
    waitpid $pid, 0;
    delete $running{$pid};
    croak 'openssl: ' . slurp("$folder/openssl.log") if $?;
    return { key => $key, certificate => $certificate };
}

1;
